"""DeepSpeed's launcher: one per host, it sets all that torch reads, and LOCAL_SIZE, CROSS_RANK and CROSS_SIZE.

Source: deepspeed/launcher/launch.py.
"""

from __future__ import annotations

from commcheck.engines.base import Engine, Environ, Member, number, present


def detect(environ: Environ) -> Member | None:
    """It is told from a hand-set RANK by the size of its hosts' side of the world."""
    rank, size = number(environ, "RANK"), number(environ, "WORLD_SIZE")
    if rank is None or size is None or rank >= size or number(environ, "CROSS_SIZE") is None:
        return None
    return Member(
        engine="deepspeed",
        rank=rank,
        world_size=size,
        local_rank=number(environ, "LOCAL_RANK"),
        local_world_size=number(environ, "LOCAL_SIZE"),
        first_host=environ.get("MASTER_ADDR", ""),
        port=number(environ, "MASTER_PORT"),
        read=present(environ, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE"),
    )


ENGINE = Engine(name="deepspeed", detect=detect, within=("slurm", "openmpi", "hydra", "kubernetes", "sagemaker"))
