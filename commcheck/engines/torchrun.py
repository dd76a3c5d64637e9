"""torchrun: one agent per host starts the local ranks and gives them RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

Source: torch/distributed/run.py and torch/distributed/elastic/agent/server/local_elastic_agent.py.
"""

from __future__ import annotations

import shlex

from commcheck.engines.base import Engine, Environ, Launch, Member, Wanted, number, present


def detect(environ: Environ) -> Member | None:
    """Its agent sets all that torch reads; it is told from a hand-set RANK by TORCHELASTIC_RUN_ID."""
    rank, size = number(environ, "RANK"), number(environ, "WORLD_SIZE")
    if rank is None or size is None or "TORCHELASTIC_RUN_ID" not in environ:
        return None
    return Member(
        engine="torchrun",
        rank=rank,
        world_size=size,
        local_rank=number(environ, "LOCAL_RANK"),
        local_world_size=number(environ, "LOCAL_WORLD_SIZE"),
        first_host=environ.get("MASTER_ADDR", ""),
        port=number(environ, "MASTER_PORT"),
        read=present(environ, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    )


def render(wanted: Wanted) -> Launch:
    """Static rendezvous on one host; c10d rendezvous at the first host where there are several."""
    preflight = ("--no-python", *wanted.preflight)
    per_node = f"--nproc-per-node={wanted.ranks_per_node}"
    if wanted.nodes == 1:
        return Launch(commands=(shlex.join(("torchrun", "--standalone", per_node, *preflight)),))
    first = wanted.hosts[0] if wanted.hosts else "HOST-OF-RANK-0"
    rendezvous = (
        f"--nnodes={wanted.nodes}",
        per_node,
        f"--rdzv-id={wanted.name}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={first}:{wanted.master_port}",
    )
    note = "the same command on every host"
    return Launch(commands=(shlex.join(("torchrun", *rendezvous, *preflight)),), notes=(note,))


ENGINE = Engine(
    name="torchrun",
    detect=detect,
    render=render,
    within=("slurm", "openmpi", "hydra", "kubernetes", "trainjob", "accelerate", "sagemaker"),
    run=("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"),
)
