"""One call as four variables ask for it: what `commcheck explore` varies to learn which calls a backend has.

COMMCHECK_CALL_OP, _DTYPE, _REDUCE and _SIZE (elements). A call that the backend does not have ends the rank."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from commcheck.model.calls import REDUCING
from commcheck.worker.steps import Step, perform
from commcheck.worker.workloads import standard

if TYPE_CHECKING:
    from commcheck.worker.context import RankContext

LOOKS = True
FIRST: tuple[Step, ...] = standard.FIRST
VERIFY: tuple[Step, ...] = ()


def train(ctx: RankContext) -> None:
    """Issue the call, twice: what is set up by the first must serve the second."""
    op = os.environ.get("COMMCHECK_CALL_OP", "all_reduce")
    step = Step(
        op=op,
        size=int(os.environ.get("COMMCHECK_CALL_SIZE", "4")),
        dtype=os.environ.get("COMMCHECK_CALL_DTYPE", "float32"),
        reduce_op=os.environ.get("COMMCHECK_CALL_REDUCE", "sum") if op in REDUCING else "",
    )
    for _ in range(2):
        perform(ctx, step)
