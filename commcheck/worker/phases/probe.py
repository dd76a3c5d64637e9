"""Own connections between all hosts of the world, in both directions, on ephemeral ports as gloo uses them; and, where
NCCL would take an address on each, to that.

The addresses are exchanged through the store, which has just been proven; results stay with the rank (its journal),
so that nothing is gathered over the links under test."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from msgspec.structs import replace

from commcheck.model.case import Outcome, Probe, Published
from commcheck.probe.connect import Answering, exchange
from commcheck.probe.nccl_targets import targets
from commcheck.worker.addresses import gloo_address
from commcheck.worker.context import RankContext

_PREFIX = "commcheck/probe"
SAY_WHO = 0.3
"""Seconds of waiting for the other ranks after which the missing ones are named."""


def run(ctx: RankContext) -> str:
    """Publish an address, read everybody's, connect to one rank of every other host and address."""
    assert ctx.store is not None
    if not ctx.workload.LOOKS:
        return "not probed"
    store = dist.PrefixStore(_PREFIX, ctx.store)
    address = _data_address(ctx)
    ctx.data_address = address
    nonce = _agree_on_nonce(ctx, store)
    listener = _listen(ctx, address, nonce)
    root, no_root = _root(ctx, nonce)
    if address:
        ctx.journal.told(Published(rank=ctx.rank, address=address, port=listener.port if listener else None))
    store.set(
        f"card/{ctx.rank}",
        json.dumps(
            {
                "host": _host_id(),
                "address": address,
                "port": listener.port if listener else 0,
                "nccl": ctx.plan.nccl_address,
                "nccl_port": root.port if root else 0,
            }
        ),
    )
    cards = _read_cards(ctx, store)
    leaders = _leaders(cards)
    if ctx.rank in leaders and len(leaders) > 1:
        _probe_all(ctx, cards, leaders, nonce)
        store.set(f"done/{ctx.rank}", "")
        store.wait([f"done/{r}" for r in leaders])
    for one in (listener, root):
        if one is not None:
            one.close()
    distinct = {(c["host"], c["address"]) for c in cards.values()}
    return f"{len({host for host, _ in distinct})} host(s), {len(distinct)} distinct address(es){no_root}"


def _data_address(ctx: RankContext) -> str:
    """The address that the backend will give to the others: NCCL's own choice, where it alone carries the data."""
    if ctx.plan.backend == "nccl" and ctx.plan.nccl_address:
        return ctx.plan.nccl_address
    return gloo_address(ctx.plan.environment.get("GLOO_SOCKET_IFNAME", ""))


def _agree_on_nonce(ctx: RankContext, store: dist.Store) -> bytes:
    """Sixteen bytes that only this world knows; rank 0 makes them."""
    if ctx.rank == 0:
        store.set("nonce", os.urandom(16).hex())
    return bytes.fromhex(store.get("nonce").decode())


def _host_id() -> str:
    """Equal for processes that share a network: the namespace's inode and the boot it belongs to."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.stat('/proc/self/ns/net').st_ino}"


def _listen(ctx: RankContext, address: str, nonce: bytes) -> Answering | None:
    if not address:
        return None
    try:
        return Answering(address, nonce, ctx.rank)
    except OSError as e:
        detail = f"cannot listen on {address}: {e.strerror}"
        ctx.journal.probed(Probe(kind="listen", target=address, port=0, outcome=Outcome.OTHER, detail=detail))
        return None


def _root(ctx: RankContext, nonce: bytes) -> tuple[Answering | None, str]:
    """A listener where NCCL's root would be, or why there is none: NCCL_COMM_ID may have named another host's address."""
    if not ctx.plan.nccl_address:
        return None, ""
    try:
        return Answering(ctx.plan.nccl_address, nonce, ctx.rank), ""
    except OSError as e:
        return None, f"; NCCL's {ctx.plan.nccl_address} was not tried: cannot listen there: {e.strerror}"


def _read_cards(ctx: RankContext, store: dist.Store) -> dict[int, dict[str, Any]]:
    keys = [f"card/{r}" for r in range(ctx.world_size)]
    try:
        store.wait(keys, timedelta(seconds=SAY_WHO))
    except dist.DistStoreError:
        ctx.journal.waits(tuple(r for r, key in enumerate(keys) if not store.check([key])))
        store.wait(keys)
        ctx.journal.waits(())
    return {r: json.loads(raw) for r, raw in enumerate(store.multi_get(keys))}


def _leaders(cards: dict[int, dict[str, Any]]) -> tuple[int, ...]:
    """The lowest rank of each host and addresses: what is true for it is true for the others there."""
    first: dict[tuple[str, str, str], int] = {}
    for rank, card in sorted(cards.items()):
        first.setdefault((card["host"], card["address"], card["nccl"]), rank)
    return tuple(sorted(first.values()))


def _probe_all(ctx: RankContext, cards: dict[int, dict[str, Any]], leaders: tuple[int, ...], nonce: bytes) -> None:
    roots = targets([r for r in leaders if cards[r]["nccl_port"]], ctx.rank)
    alike = [r for r in roots if cards[r]["nccl"] == cards[r]["address"] and cards[r]["port"]]

    def one(peer: int) -> None:
        card = cards[peer]
        for probe in exchange(card["address"], card["port"], nonce, peer):
            ctx.journal.probed(probe)
            if peer in alike and probe.ends:
                ctx.journal.probed(replace(probe, kind="nccl"))

    def root(peer: int) -> None:
        card = cards[peer]
        last = exchange(card["nccl"], card["nccl_port"], nonce, peer)[-1]
        ctx.journal.probed(replace(last, kind="nccl"))

    peers = [r for r in leaders if r != ctx.rank and cards[r]["port"]]
    ctx.journal.tries(tuple(peers))
    _at_once(one, peers)
    _at_once(root, [r for r in roots if r not in alike])  # not beside what is timed


def _at_once(what: Callable[[int], None], peers: Iterable[int]) -> None:
    threads = [threading.Thread(target=what, args=(p,), name=socket.gethostname()) for p in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
