"""Lightning's own launcher: the script starts itself again for each further GPU of its host, with LOCAL_RANK, NODE_RANK and
WORLD_SIZE, and no RANK.

Source: lightning/fabric/strategies/launchers/subprocess_script.py, lightning/fabric/plugins/environments/lightning.py.
"""

from __future__ import annotations

from commcheck.engines.base import Engine, Environ, Member, number, present


def detect(environ: Environ) -> Member | None:
    """How many processes a host has is not said: which rank this is can be told on the first host alone."""
    local, size = number(environ, "LOCAL_RANK"), number(environ, "WORLD_SIZE")
    if local is None or size is None or local >= size or number(environ, "NODE_RANK") != 0 or "RANK" in environ:
        return None
    return Member(
        engine="lightning",
        rank=local,
        world_size=size,
        local_rank=local,
        first_host=environ.get("MASTER_ADDR", ""),
        port=number(environ, "MASTER_PORT"),
        read=present(environ, "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    )


ENGINE = Engine(name="lightning", detect=detect, within=("slurm", "kubernetes", "sagemaker"))
