"""Open MPI: `mpirun` starts one process per rank and numbers them in OMPI_COMM_WORLD_*.

Source: Open MPI's FAQ (environment variables of an MPI process); mpirun(1).
"""

from __future__ import annotations

import shlex

from commcheck.engines.base import Engine, Launch, Wanted
from commcheck.engines.numbered import numbered


def render(wanted: Wanted) -> Launch:
    """Variables that all ranks need go by -x. One rank's exit code must not end the others before they have said what they
    know: Open MPI 4 ends all for it (5 reads the setting too). mpirun then returns 0 whatever they return, so the merged
    verdict's exit code is the command's."""
    first = wanted.hosts[0] if wanted.hosts else "127.0.0.1" if wanted.nodes == 1 else "HOST-OF-RANK-0"
    hosts = ("--host", ",".join(f"{host}:{wanted.ranks_per_node}" for host in wanted.hosts)) if wanted.hosts else ()
    start = ("mpirun", "-np", str(wanted.world_size), *hosts, "--map-by", f"ppr:{wanted.ranks_per_node}:node")
    if wanted.runs:
        return Launch(commands=(shlex.join((*start, *wanted.runs)),))
    command = (
        *start,
        *("--mca", "orte_abort_on_non_zero_status", "0"),
        *("-x", f"MASTER_ADDR={first}", "-x", f"MASTER_PORT={wanted.master_port}", *wanted.preflight),
    )
    verdict = shlex.join((*wanted.program, "diagnose", wanted.report_dir or "-"))
    return Launch(commands=(f"{shlex.join(command)} {'&&' if wanted.report_dir else '|'} {verdict}",))


ENGINE = Engine(
    name="openmpi",
    detect=numbered(
        "openmpi",
        rank=("OMPI_COMM_WORLD_RANK",),
        size=("OMPI_COMM_WORLD_SIZE",),
        local_rank=("OMPI_COMM_WORLD_LOCAL_RANK",),
        local_size=("OMPI_COMM_WORLD_LOCAL_SIZE",),
    ),
    render=render,
    within=("slurm", "lsf", "pbs", "sagemaker"),
    run=("PMIX_NAMESPACE",),
)
