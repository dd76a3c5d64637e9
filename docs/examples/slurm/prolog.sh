#!/bin/sh
# Slurm's Prolog (or HealthCheckProgram): on each node of a job, as root, before the job starts.
# A fault that commcheck found drains the node, with the fault as its reason, and the job is queued again.
# commcheck's own failure, a fault that it could not decide, or a check that takes too long lets the job start.
COMMCHECK=/usr/local/bin/commcheck  # Slurm gives a prolog no PATH
FABRIC=eth1                         # the interface that jobs are to use
SECONDS_AT_MOST=20                  # below PrologEpilogTimeout

said=$(timeout "$SECONDS_AT_MOST" "$COMMCHECK" lint --quiet --format nhc --env "GLOO_SOCKET_IFNAME=$FABRIC" 2>&1)
[ $? -eq 1 ] || exit 0
scontrol update "nodename=$SLURMD_NODENAME" state=drain "reason=$said" || true
exit 1
