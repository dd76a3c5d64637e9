"""Hydra, the launcher of MPICH and Intel MPI: PMI_RANK and PMI_SIZE, and for the host MPI_LOCALRANKID and MPI_LOCALNRANKS.

Source: mpich: src/pm/hydra (the proxy sets PMI_RANK, PMI_SIZE, MPI_LOCALRANKID, MPI_LOCALNRANKS).
"""

from __future__ import annotations

import shlex

from commcheck.engines.base import Engine, Launch, Wanted
from commcheck.engines.numbered import numbered


def render(wanted: Wanted) -> Launch:
    """Variables that all ranks need go by -genv."""
    first = wanted.hosts[0] if wanted.hosts else "127.0.0.1" if wanted.nodes == 1 else "HOST-OF-RANK-0"
    hosts = ("-hosts", ",".join(wanted.hosts)) if wanted.hosts else ()
    rendezvous = ("-genv", "MASTER_ADDR", first, "-genv", "MASTER_PORT", str(wanted.master_port))
    command = (
        *("mpiexec", "-n", str(wanted.world_size), "-ppn", str(wanted.ranks_per_node), *hosts),
        *(wanted.runs or (*rendezvous, *wanted.preflight)),
    )
    return Launch(commands=(shlex.join(command),))


ENGINE = Engine(
    name="hydra",
    detect=numbered(
        "hydra",
        rank=("PMI_RANK",),
        size=("PMI_SIZE",),
        local_rank=("MPI_LOCALRANKID",),
        local_size=("MPI_LOCALNRANKS",),
    ),
    render=render,
    within=("slurm", "lsf", "pbs"),
)
