"""Slurm: `srun` starts one task per rank and numbers them; what torch reads is left to the program.

Source: srun(1), output environment variables. In a batch script itself SLURM_PROCID is set too, but no SLURM_STEP_ID.
"""

from __future__ import annotations

import shlex

from commcheck.engines.base import Engine, Environ, Launch, Member, Wanted, number, present
from commcheck.engines.nodelist import expand

_FIRST_PORT, _PORTS = 20_000, 10_000
"""Ports for stores, by the job's number: below the ephemeral range (32768 and up, ip_local_port_range), and different for
jobs that share a host."""


def detect(environ: Environ) -> Member | None:
    """A task of a step. Several tasks make a world; a step of one task is a shell or a launcher of its own."""
    rank = number(environ, "SLURM_PROCID")
    size = number(environ, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS")
    if rank is None or size is None or size < 2 or number(environ, "SLURM_STEP_ID") is None:
        return None
    nodes = expand(environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST") or "")
    job = number(environ, "SLURM_JOB_ID")
    return Member(
        engine="slurm",
        rank=rank,
        world_size=size,
        local_rank=number(environ, "SLURM_LOCALID"),
        local_world_size=_here(environ),
        first_host=nodes[0] if nodes else "",
        port=None if job is None else _FIRST_PORT + job % _PORTS,
        read=present(
            environ,
            *("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_NODELIST"),
            *("SLURM_STEP_TASKS_PER_NODE", "SLURM_JOB_ID"),
        ),
    )


def _here(environ: Environ) -> int | None:
    """This host's tasks: `2(x3),1` gives 2 to the first three nodes and 1 to the fourth."""
    node, left = number(environ, "SLURM_NODEID"), 0
    for part in (environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_TASKS_PER_NODE") or "").split(","):
        tasks, _, times = part.partition("(x")
        if not tasks.isdecimal() or node is None:
            return None
        left += int(times.rstrip(")")) if times.rstrip(")").isdecimal() else 1
        if node < left:
            return int(tasks)
    return None


def render(wanted: Wanted) -> Launch:
    """`srun` for inside an allocation, and a batch script that gets one."""
    preflight = ("commcheck", "preflight", "--report-dir", wanted.report_dir, *wanted.options)
    shape = (f"--nodes={wanted.nodes}", f"--ntasks-per-node={wanted.ranks_per_node}")
    hosts = (f"--nodelist={','.join(wanted.hosts)}",) if wanted.hosts else ()
    step = shlex.join(("srun", *shape, *hosts, "--kill-on-bad-exit=0", *preflight))
    script = "\n".join(
        (
            "#!/bin/bash",
            f"#SBATCH --job-name={wanted.name}",
            *(f"#SBATCH {option}" for option in (*shape, *hosts)),
            "#SBATCH --time=00:05:00",
            step,
            "",
        )
    )
    return Launch(
        commands=(step, f"sbatch {wanted.name}.sbatch"),
        files=((f"{wanted.name}.sbatch", script),),
        notes=(
            "the first command inside an allocation, the second to get one",
            "--kill-on-bad-exit=0: each rank says what it knows, also after another one has failed",
        ),
    )


ENGINE = Engine(name="slurm", detect=detect, render=render)
