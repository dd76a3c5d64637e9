"""The calls of a recording, each rank its own in their order.

All calls are issued without waiting, as programs do that overlap communication: a program that waited in between issued
fewer, and its recording ends there. So a call hangs here where it did then, and no other one does because of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from commcheck.model.base import spans
from commcheck.model.case import Collective
from commcheck.model.phase import Phase
from commcheck.model.script import Play, decode
from commcheck.worker.steps import Step
from commcheck.worker.workloads import standard

if TYPE_CHECKING:
    from commcheck.worker.context import RankContext

LOOKS = True
FIRST: tuple[Step, ...] = standard.FIRST
"""The world is proven first, so that what then fails is the recording's doing."""
VERIFY: tuple[Step, ...] = ()

THROUGH, ALL_THROUGH = "commcheck/played", "commcheck/all-played"
"""Keys of the store: how many ranks are through, and that all are. Who leaves earlier would break the others' calls."""
AS_BYTES = {1: torch.uint8, 2: torch.float16, 4: torch.int32, 8: torch.int64}
"""What stands for types that gloo does not have, by the bytes of an element."""
NATIVE = frozenset(("float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8"))


def train(ctx: RankContext) -> None:
    """Issue all calls, then wait for each; stay until all ranks are through."""
    script = decode(ctx.given)
    # A group of which nobody is played is not made, on any rank.
    made = [dist.new_group(list(members)) if members else None for members in script.groups]
    waiting: deque[tuple[Any, Any]] = deque()
    between_two: list[Callable[[], None]] = []
    for call in script.parts[ctx.rank].calls:
        members = script.groups[call.group] if call.group >= 0 else tuple(range(ctx.world_size))
        group = made[call.group] if call.group >= 0 else dist.group.WORLD
        index = ctx.journal.issued(_record(call, members, ctx.world_size))
        tensors, work = _issue(call, group, members, ctx.rank)
        if call.op in ("send", "recv"):
            between_two.append(_waiting(ctx, work, index))
            continue
        work.get_future().add_done_callback(_returned(ctx, index))
        waiting.append((tensors, work))
        while waiting and waiting[0][1].is_completed():  # so that a long recording does not fill the memory
            waiting.popleft()[1].wait()
    # These offer no call-back. Their order is their own: nobody else waits for it.
    failed: list[BaseException] = []
    thread = threading.Thread(target=_in_turn, args=(between_two, failed), daemon=True)
    thread.start()
    while waiting:
        waiting.popleft()[1].wait()
    thread.join()
    if failed:
        raise failed[0]
    _stay(ctx)


def _in_turn(waits: list[Callable[[], None]], failed: list[BaseException]) -> None:
    try:
        for wait in waits:
            wait()
    except Exception as error:  # handed over to the rank's own thread
        failed.append(error)


def _record(call: Play, members: tuple[int, ...], world: int) -> Collective:
    return Collective(
        index=0,
        op=call.op,
        shape=(call.elements,),
        dtype=call.dtype,
        group="" if call.group < 0 else spans(members),
        peer=call.peer if call.peer >= 0 else None,
        phase=Phase.STEADY,
    )


def _returned(ctx: RankContext, index: int) -> Callable[[Any], None]:
    def done(future: Any) -> None:
        try:
            future.value()
        except Exception:  # `wait` raises it, too, where it can be told
            return
        ctx.journal.returned(index)

    return done


def _waiting(ctx: RankContext, work: Any, index: int) -> Callable[[], None]:
    def wait() -> None:
        work.wait()
        ctx.journal.returned(index)

    return wait


def _stay(ctx: RankContext) -> None:
    assert ctx.store is not None
    if ctx.store.add(THROUGH, 1) == ctx.world_size:
        ctx.store.set(ALL_THROUGH, "")
    ctx.store.wait([ALL_THROUGH])


def _dtype(name: str) -> torch.dtype:
    """The type itself where gloo has it, else one with as many bytes."""
    found = getattr(torch, name, None)
    if name in NATIVE and isinstance(found, torch.dtype):
        return found
    width = found.itemsize if isinstance(found, torch.dtype) else 1
    return AS_BYTES.get(width, torch.int64)


def _issue(call: Play, group: Any, members: tuple[int, ...], rank: int) -> tuple[Any, Any]:
    """Call torch; returns what has to live until it is done, and the work."""
    if call.peer >= 0:
        return _issue_with_peer(call, group, members, rank)
    kind, count = _dtype(call.dtype), len(members)
    part = torch.ones(call.size, dtype=kind)

    def whole() -> torch.Tensor:
        return torch.ones(call.size * count, dtype=kind)

    def parts() -> list[torch.Tensor]:
        return [torch.ones(call.size, dtype=kind) for _ in members]

    other: Any = None
    match call.op:
        case "all_reduce":
            work = dist.all_reduce(part, group=group, async_op=True)
        case "barrier":
            work = dist.barrier(group=group, async_op=True)
        case "all_gather":
            other = parts()
            work = dist.all_gather(other, part, group=group, async_op=True)
        case "all_gather_into_tensor":
            other = whole()
            work = dist.all_gather_into_tensor(other, part, group=group, async_op=True)
        case "reduce_scatter":
            other = parts()
            work = dist.reduce_scatter(part, other, group=group, async_op=True)
        case "reduce_scatter_tensor":
            other = whole()
            work = dist.reduce_scatter_tensor(part, other, group=group, async_op=True)
        case _:
            part, other = whole(), whole()
            work = dist.all_to_all_single(other, part, group=group, async_op=True)
    return (part, other), work


def _issue_with_peer(call: Play, group: Any, members: tuple[int, ...], rank: int) -> tuple[Any, Any]:
    """The same for calls with a root, or with another rank."""
    part = torch.ones(call.size, dtype=_dtype(call.dtype))
    all_parts = [torch.ones_like(part) for _ in members] if rank == call.peer else None
    match call.op:
        case "broadcast":
            work = dist.broadcast(part, src=call.peer, group=group, async_op=True)
        case "reduce":
            work = dist.reduce(part, dst=call.peer, group=group, async_op=True)
        case "gather":
            work = dist.gather(part, all_parts, dst=call.peer, group=group, async_op=True)
        case "scatter":
            work = dist.scatter(part, all_parts, src=call.peer, group=group, async_op=True)
        case "send":
            work = dist.isend(part, dst=call.peer, group=group)
        case _:
            work = dist.irecv(part, src=call.peer, group=group)
    return (part, all_parts), work
