"""One collective call: made, recorded, compared with its reference.

Values are small integers computed from (rank, element), exact in every dtype used, so that a reference is
computed without communication and any difference is a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from commcheck.model.base import Value
from commcheck.model.case import Collective, ValueCheck, call_signature

if TYPE_CHECKING:
    from commcheck.worker.context import RankContext

_REDUCE = {
    "sum": dist.ReduceOp.SUM,
    "product": dist.ReduceOp.PRODUCT,
    "max": dist.ReduceOp.MAX,
    "min": dist.ReduceOp.MIN,
}


class Step(Value, frozen=True):
    """A call to issue. `size` in elements; `root` for a broadcast, `shift` added to the input by a fault."""

    op: str
    size: int = 4
    dtype: str = "float32"
    reduce_op: str = ""
    root: int = 0
    shift: int = 0

    @property
    def signature(self) -> str:
        """What must agree between ranks."""
        return call_signature(self.op, self.size, self.dtype, self.reduce_op)


class NotSupportedError(Exception):
    """The backend says that it does not have this operation."""


def values(rank: int, size: int, dtype: str, device: torch.device) -> torch.Tensor:
    """The contribution of `rank`: (rank % 3 + 1) + element % 5, so that sums and products over any world used
    for verification stay exact."""
    base = torch.arange(size, device=device) % 5 + (rank % 3 + 1)
    return base.to(getattr(torch, dtype))


def _combined(world: int, size: int, dtype: str, reduce_op: str, device: torch.device) -> torch.Tensor:
    total = values(0, size, dtype, device)
    for rank in range(1, world):
        other = values(rank, size, dtype, device)
        if reduce_op == "sum":
            total = total + other
        elif reduce_op == "product":
            total = total * other
        elif reduce_op == "max":
            total = torch.maximum(total, other)
        else:
            total = torch.minimum(total, other)
    return total


def awaited(ctx: RankContext) -> None:
    """A call on a GPU returns when it is queued: it is over when the GPU has done it."""
    if ctx.device is not None and ctx.device.type == "cuda":
        torch.cuda.synchronize(ctx.device)


def of_backend(size: int) -> torch.Tensor:
    """Ones on the device that the group's backend takes: a GPU for NCCL alone."""
    nccl = dist.is_initialized() and dist.get_backend() == "nccl" and torch.cuda.is_available()
    return torch.ones(size, device="cuda" if nccl else "cpu")


Operation = Callable[["RankContext", Step, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Takes the input, calls torch, returns (result, reference)."""


def _all_reduce(ctx: RankContext, step: Step, mine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dist.all_reduce(mine, op=_REDUCE[step.reduce_op])
    return mine, _combined(ctx.world_size, step.size, step.dtype, step.reduce_op, mine.device)


def _broadcast(ctx: RankContext, step: Step, mine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dist.broadcast(mine, src=step.root)
    return mine, values(step.root, step.size, step.dtype, mine.device)


def _all_gather(ctx: RankContext, step: Step, mine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    out = [torch.empty_like(mine) for _ in range(ctx.world_size)]
    dist.all_gather(out, mine)
    reference = [values(r, step.size, step.dtype, mine.device) for r in range(ctx.world_size)]
    return torch.stack(out), torch.stack(reference)


def _reduce_scatter(ctx: RankContext, step: Step, mine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    out = torch.empty_like(mine)
    dist.reduce_scatter_tensor(out, mine.repeat(ctx.world_size), op=_REDUCE[step.reduce_op])
    return out, _combined(ctx.world_size, step.size, step.dtype, step.reduce_op, mine.device)


def _all_to_all(ctx: RankContext, step: Step, mine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    send = torch.cat([mine + r for r in range(ctx.world_size)])
    out = torch.empty_like(send)
    dist.all_to_all_single(out, send)
    reference = [values(r, step.size, step.dtype, mine.device) + ctx.rank for r in range(ctx.world_size)]
    return out, torch.cat(reference)


def together(*calls: dist.P2POp) -> None:
    """Issue point-to-point calls as one batch, and wait for them.

    NCCL makes a communicator of its own for each pair that meets outside of a batch, and takes the calls of one in their
    order: in a ring, where each rank sends first, all would wait for each other."""
    for work in dist.batch_isend_irecv(list(calls)):
        work.wait()


def _ring(ctx: RankContext, step: Step, mine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    following, previous = (ctx.rank + 1) % ctx.world_size, (ctx.rank - 1) % ctx.world_size
    out = torch.empty_like(mine)
    if ctx.world_size == 1:
        return mine, mine
    together(dist.P2POp(dist.isend, mine, following), dist.P2POp(dist.irecv, out, previous))
    return out, values(previous, step.size, step.dtype, mine.device)


def _barrier(ctx: RankContext, step: Step, mine: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dist.barrier()
    return mine, mine


OPERATIONS: dict[str, Operation] = {
    "all_reduce": _all_reduce,
    "broadcast": _broadcast,
    "all_gather": _all_gather,
    "reduce_scatter": _reduce_scatter,
    "all_to_all": _all_to_all,
    "send_recv": _ring,
    "barrier": _barrier,
}


def perform(ctx: RankContext, planned: Step) -> None:
    """Issue `planned`, or what this rank's faults make of it; record it and compare its result.

    Raises NotSupportedError where the backend says that it lacks the operation, and whatever torch raises."""
    place, ctx.steps = ctx.steps, ctx.steps + 1
    for step in ctx.alter(planned):
        _perform(ctx, step, planned, place)


def _perform(ctx: RankContext, step: Step, planned: Step, place: int) -> None:
    assert ctx.device is not None
    mine = values(ctx.rank, step.size, step.dtype, ctx.device) + step.shift
    record = Collective(
        index=0,
        op=step.op,
        shape=tuple(mine.shape),
        dtype=step.dtype,
        reduce_op=step.reduce_op,
        phase=ctx.phase,
        expected=planned.signature,
        place=place,
    )
    index = ctx.journal.issued(record)
    try:
        result, reference = OPERATIONS[step.op](ctx, step, mine)
    except RuntimeError as e:
        if _says_unsupported(e):
            raise NotSupportedError(f"{step.op}: {str(e).splitlines()[0]}") from e
        raise
    awaited(ctx)
    ctx.journal.returned(index)
    if step.op != "barrier":
        ctx.journal.checked(compare(step, result, reference))


def _says_unsupported(error: RuntimeError) -> bool:
    text = str(error)
    return "does not support" in text or "not supported" in text or isinstance(error, NotImplementedError)


def compare(step: Step, result: torch.Tensor, reference: torch.Tensor) -> ValueCheck:
    """The comparison as a record. For an all-gather the ranks whose part is wrong can be told."""
    equal = result == reference
    if bool(equal.all()):
        return ValueCheck(op=step.op, dtype=step.dtype, size=step.size, ok=True)
    where = int((~equal.flatten()).nonzero()[0])
    got, want = result.flatten()[where].item(), reference.flatten()[where].item()
    wrong: tuple[int, ...] = ()
    if step.op in ("all_gather", "all_to_all"):
        rows = equal.reshape(-1, step.size)
        wrong = tuple(int(i) for i in (~rows.all(dim=1)).nonzero().flatten())
    detail = (
        f"{step.signature}: element {where} is {got}, {want} expected; {int((~equal).sum())} of {equal.numel()} differ"
    )
    return ValueCheck(op=step.op, dtype=step.dtype, size=step.size, ok=False, wrong_slots=wrong, detail=detail)
