#!/bin/sh
# Slurm's Epilog: on each node of a job, as root, after the job has ended.
# A node that a job has left unfit (an interface that is down, shared memory that is full, ...) gets no further job.
COMMCHECK=/usr/local/bin/commcheck
FABRIC=eth1
SECONDS_AT_MOST=20

said=$(timeout "$SECONDS_AT_MOST" "$COMMCHECK" lint --quiet --format nhc --env "GLOO_SOCKET_IFNAME=$FABRIC" 2>&1)
[ $? -eq 1 ] || exit 0
scontrol update "nodename=$SLURMD_NODENAME" state=drain "reason=after job $SLURM_JOB_ID: $said" || true
exit 0  # the reason is there already; another code would replace it by Slurm's own
