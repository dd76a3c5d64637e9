"""What a test on a rank gets as `world`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.distributed as dist

if TYPE_CHECKING:
    from commcheck.worker.context import RankContext


class RankWorld:
    """The rank that the test runs on, and the world that it belongs to. `commcheck.testing.World` describes it."""

    def __init__(self, ctx: RankContext, host: str) -> None:
        environment = ctx.plan.environment
        self.rank = ctx.rank
        self.world_size = ctx.world_size
        self.local_rank = int(environment.get("LOCAL_RANK", "0"))
        self.local_world_size = int(environment.get("LOCAL_WORLD_SIZE", "1"))
        self.backend = ctx.plan.backend
        self.device = ctx.device
        self.host = ctx.plan.place.host or host
        self.environment = dict(environment)
        self._store = ctx.store

    @property
    def store(self) -> Any:
        """A store of the test's own: its keys meet nobody else's."""
        assert self._store is not None
        return dist.PrefixStore("test", self._store)

    def barrier(self) -> None:
        """Wait until all ranks have come here."""
        dist.barrier()

    def __repr__(self) -> str:
        return f"<rank {self.rank} of {self.world_size}>"
