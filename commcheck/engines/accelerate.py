"""Hugging Face Accelerate: `accelerate launch` starts torchrun's agent, with its own settings as ACCELERATE_*.

Source: accelerate/utils/launch.py.
"""

from __future__ import annotations

from commcheck.engines.base import Engine, Environ, Member, number, present


def detect(environ: Environ) -> Member | None:
    """What torch reads is set by the agent that it starts, which then speaks for the process."""
    rank, size = number(environ, "RANK"), number(environ, "WORLD_SIZE")
    if rank is None or size is None or rank >= size or "ACCELERATE_MIXED_PRECISION" not in environ:
        return None
    return Member(
        engine="accelerate",
        rank=rank,
        world_size=size,
        local_rank=number(environ, "LOCAL_RANK"),
        local_world_size=number(environ, "LOCAL_WORLD_SIZE"),
        first_host=environ.get("MASTER_ADDR", ""),
        port=number(environ, "MASTER_PORT"),
        read=present(environ, "ACCELERATE_MIXED_PRECISION", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    )


ENGINE = Engine(name="accelerate", detect=detect, within=("slurm", "openmpi", "hydra", "kubernetes", "sagemaker"))
