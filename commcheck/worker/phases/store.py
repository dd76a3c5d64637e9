"""The store: exactly what `init_process_group` does first, split off so that it can be timed and judged."""

from __future__ import annotations

from datetime import timedelta

import torch.distributed as dist
from torch.distributed.constants import default_pg_timeout

from commcheck.worker.context import RankContext


def run(ctx: RankContext) -> str:
    """Meet at the store. Raises whatever torch raises."""
    seconds = ctx.plan.store_seconds
    timeout = default_pg_timeout if seconds is None else timedelta(seconds=seconds)
    if ctx.plan.init_method == "env://":
        found = dist.rendezvous("env://", timeout=timeout)
    else:
        rank, size = int(ctx.plan.environment["RANK"]), int(ctx.plan.environment["WORLD_SIZE"])
        found = dist.rendezvous(ctx.plan.init_method, rank, size, timeout=timeout)
    ctx.store, ctx.rank, ctx.world_size = next(found)
    ctx.store.set_timeout(timeout)
    return f"rank {ctx.rank} of {ctx.world_size}"
