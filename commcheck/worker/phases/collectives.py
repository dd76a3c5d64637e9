"""The collectives: the first one, then all others with their values, then pairs, then the end."""

from __future__ import annotations

import os
import time

import torch
import torch.distributed as dist

from commcheck.model.case import Collective, PairMeasure
from commcheck.system import carriers, sockets
from commcheck.worker.context import RankContext
from commcheck.worker.steps import NotSupportedError, Step, awaited, perform, together

SMALL_ROUNDS = 5
SMALL, LARGE = 1, 16384  # elements of float32: 4 bytes for latency, 64 KiB for bandwidth
ALL_PAIRS_UP_TO = 8
"""World size up to which every pair is measured; above it each rank measures its ring neighbours only, so that the
whole takes a few rounds and not size - 1."""


def first(ctx: RankContext) -> str:
    """The first collective, then who is there: rank and pid of every member."""
    for step in ctx.workload.FIRST:
        perform(ctx, step)
    if not ctx.workload.LOOKS:
        return ""
    mine = torch.tensor([ctx.rank, os.getpid()], dtype=torch.int64, device=ctx.device)
    out = [torch.empty_like(mine) for _ in range(ctx.world_size)]
    asked = Step(op="all_gather", size=2, dtype="int64")
    call = Collective(
        index=0,
        op=asked.op,
        shape=(2,),
        dtype=asked.dtype,
        phase=ctx.phase,
        expected=asked.signature,
        place=ctx.steps,
    )
    ctx.steps += 1
    index = ctx.journal.issued(call)
    dist.all_gather(out, mine)
    awaited(ctx)
    ctx.journal.returned(index)
    ctx.journal.met(tuple((int(t[0]), int(t[1])) for t in out))
    prepare = getattr(ctx.workload, "prepare", None)
    if prepare is not None:
        prepare(ctx)
    return f"{ctx.world_size} member(s)"


def verify(ctx: RankContext) -> str:
    """Every step of the workload, compared with its reference."""
    skipped = []
    for step in ctx.workload.VERIFY:
        try:
            perform(ctx, step)
        except NotSupportedError as e:
            skipped.append(str(e))
    if ctx.workload.LOOKS:
        ctx.journal.saw(sockets.of_process(os.getpid()))
    return "not supported by this backend: " + "; ".join(skipped) if skipped else ""


def steady(ctx: RankContext) -> str:
    """Latency and bandwidth per pair, coarse, then what the workload does again and again; an all-reduce ends it so that
    all ranks leave together."""
    note = "not measured"
    if ctx.workload.VERIFY and ctx.world_size > 1:
        for peers in _rounds(ctx.world_size):
            peer = peers.get(ctx.rank)
            if peer is not None:
                ctx.journal.measured(_measure(ctx, peer))
        note = "every pair" if ctx.world_size <= ALL_PAIRS_UP_TO else "ring neighbours"
    train = getattr(ctx.workload, "train", None)
    if train is not None:
        train(ctx)
    if ctx.workload.VERIFY and ctx.world_size > 1:
        perform(ctx, Step(op="all_reduce", size=4, reduce_op="sum"))
    return note


def _rounds(size: int) -> list[dict[int, int]]:
    """Rounds of disjoint pairs. Up to ALL_PAIRS_UP_TO ranks each pair once (circle method), else the ring."""
    if size <= ALL_PAIRS_UP_TO:
        even = size + size % 2
        order = list(range(even))
        rounds = []
        for _ in range(even - 1):
            pairs = [(order[i], order[even - 1 - i]) for i in range(even // 2)]
            rounds.append(_both_ways([(a, b) for a, b in pairs if a < size and b < size]))
            order = [order[0], order[-1], *order[1:-1]]
        return rounds
    ring = [(r, (r + 1) % size) for r in range(size)]
    # A ring of odd size needs a third round for the pair that closes it.
    last = [ring[-1]] if size % 2 else []
    full = ring[: size - size % 2]
    return [_both_ways(full[0::2]), _both_ways(full[1::2]), *([_both_ways(last)] if last else [])]


def _both_ways(pairs: list[tuple[int, int]]) -> dict[int, int]:
    return dict(pairs) | {b: a for a, b in pairs}


def _measure(ctx: RankContext, peer: int) -> PairMeasure:
    times = {}
    for size, rounds in ((SMALL, SMALL_ROUNDS), (LARGE, 2)):
        tensor = torch.zeros(size, device=ctx.device)
        best = float("inf")
        for _ in range(rounds):
            begin = time.perf_counter()
            for call in (dist.isend, dist.irecv) if ctx.rank < peer else (dist.irecv, dist.isend):
                together(dist.P2POp(call, tensor, peer))
            awaited(ctx)
            best = min(best, (time.perf_counter() - begin) / 2)
        times[size] = best
    return PairMeasure(peer_rank=peer, latency=times[SMALL], bandwidth=LARGE * 4 / max(times[LARGE], 1e-9))


def teardown(ctx: RankContext) -> str:
    """Leave the group (a program may have left it itself), and wait for the look-ups that went on meanwhile (each is bounded). The store goes with the
    process."""
    if ctx.workload.LOOKS:
        ctx.journal.carriers(carriers.changes())
    leave = getattr(ctx.workload, "leave", None)
    if leave is not None:
        leave(ctx)
    if dist.is_initialized():
        dist.destroy_process_group()
    for thread in ctx.background:
        thread.join()
    return ""
