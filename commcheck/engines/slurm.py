"""Slurm: `srun` starts one task per rank and numbers them; what torch reads is left to the program.

Source: srun(1), output environment variables. In a batch script itself SLURM_PROCID is set too, but no SLURM_STEP_ID.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from commcheck.engines.base import Allocation, Engine, Environ, Launch, Member, Wanted, number, present
from commcheck.engines.nodelist import expand

_FIRST_PORT, _PORTS = 20_000, 10_000
"""Ports for stores, by the job's number: below the ephemeral range (32768 and up, ip_local_port_range), and different for
jobs that share a host."""
_NO_STEPS = (0xFFFFFFFA, 0xFFFFFFFB)
"""Numbers that Slurm gives what is no step of srun's: the shell of salloc, and the batch script (slurm/slurm.h)."""

_UNREACHED = re.compile(r"(Task launch for \S+ failed on node (\S+): .+)")


def detect(environ: Environ) -> Member | None:
    """A task of a step. Several tasks make a world; a step of one task is a shell or a launcher of its own."""
    rank = number(environ, "SLURM_PROCID")
    size = number(environ, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS")
    if rank is None or size is None or size < 2 or not _in_step(environ):
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


def _in_step(environ: Environ) -> bool:
    step = number(environ, "SLURM_STEP_ID")
    return step is not None and step not in _NO_STEPS


def holds(environ: Environ) -> Allocation | None:
    """A batch script, or the shell that salloc gives, with several hosts: `srun` starts ranks there."""
    nodes = number(environ, "SLURM_JOB_NUM_NODES", "SLURM_NNODES")
    if number(environ, "SLURM_JOB_ID") is None or nodes is None or nodes < 2 or _in_step(environ):
        return None
    tasks = number(environ, "SLURM_NTASKS", "SLURM_NPROCS")
    per_node = number(environ, "SLURM_NTASKS_PER_NODE") or number(environ, "SLURM_GPUS_ON_NODE") or 1
    return Allocation(
        engine="slurm",
        nodes=nodes,
        # One task per host is what Slurm says where nobody has asked for any number.
        ranks=tasks if tasks is not None and tasks > nodes else nodes * per_node,
        hosts=expand(environ.get("SLURM_JOB_NODELIST", "")),
        read=present(
            environ,
            *("SLURM_JOB_ID", "SLURM_JOB_NUM_NODES", "SLURM_JOB_NODELIST", "SLURM_NTASKS", "SLURM_GPUS_ON_NODE"),
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
    shape = (f"--nodes={wanted.nodes}", f"--ntasks-per-node={wanted.ranks_per_node}")
    hosts = (f"--nodelist={','.join(wanted.hosts)}",) if wanted.hosts else ()
    talk = ("--input=all", "--no-kill") if wanted.talks else ()  # a host that fails meanwhile is one host less
    # The allocation may have been asked for with another number of tasks, which srun would take.
    tasks = f"--ntasks={wanted.world_size}"
    step = shlex.join(("srun", *shape, tasks, *hosts, *talk, "--kill-on-bad-exit=0", *wanted.words))
    script = "\n".join(
        (
            "#!/bin/bash",
            f"#SBATCH --job-name={wanted.name}",
            *(f"#SBATCH {option}" for option in (*shape, *hosts)),
            "#SBATCH --time=00:05:00",
            # Without a shared directory it starts the ranks itself, by the same srun, and judges once.
            step if wanted.report_dir else shlex.join((*wanted.program, "preflight", *wanted.options)),
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


def unreached(words: Sequence[str]) -> dict[str, str]:
    """Where no slurmd answers srun ends, and with it the tasks on all other hosts."""
    found = (_UNREACHED.search(line) for line in words)
    return {one[2]: one[1] for one in found if one is not None}


ENGINE = Engine(
    name="slurm",
    detect=detect,
    render=render,
    run=("SLURM_JOB_ID", "SLURM_STEP_ID"),
    holds=holds,
    unreached=unreached,
)
