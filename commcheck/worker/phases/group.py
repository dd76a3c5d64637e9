"""The process group, on the store that stands, as `init_process_group` makes it."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.constants import default_pg_timeout

from commcheck.model.case import Published
from commcheck.system import sockets
from commcheck.worker.context import RankContext


def run(ctx: RankContext) -> str:
    """Form the default group. Raises whatever torch raises."""
    assert ctx.store is not None
    ctx.device = _device(ctx)
    seconds = ctx.plan.store_seconds
    dist.init_process_group(
        ctx.plan.backend,
        store=dist.PrefixStore("default_pg", ctx.store),
        rank=ctx.rank,
        world_size=ctx.world_size,
        timeout=default_pg_timeout if seconds is None else timedelta(seconds=seconds),
    )
    mine = sockets.of_process(os.getpid()) if ctx.workload.LOOKS else ()
    for s in mine:
        if s.state == "LISTEN" and s.local_address == ctx.data_address:
            ctx.journal.told(Published(rank=ctx.rank, address=s.local_address, port=s.local_port))
    return f"backend {dist.get_backend()}"


def _device(ctx: RankContext) -> torch.device:
    # Without NCCL in the build there is no device to choose: torch is to say so itself, in its own words.
    if "nccl" not in ctx.plan.backend or not dist.is_nccl_available():
        return torch.device("cpu")
    local = int(ctx.plan.environment.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
