"""Own connections between all hosts of the world, in both directions, on ephemeral ports as gloo uses them.

The addresses are exchanged through the store, which has just been proven; results stay with the rank (its journal),
so that nothing is gathered over the links under test."""

from __future__ import annotations

import json
import os
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from commcheck.model.case import Outcome, Probe, Published
from commcheck.probe.connect import Answering, exchange
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
    address = gloo_address(ctx.plan.environment.get("GLOO_SOCKET_IFNAME", ""))
    ctx.data_address = address
    nonce = _agree_on_nonce(ctx, store)
    listener = _listen(ctx, address, nonce)
    if address:
        ctx.journal.told(Published(rank=ctx.rank, address=address, port=listener.port if listener else None))
    card = {"host": _host_id(), "address": address, "port": listener.port if listener else 0}
    store.set(f"card/{ctx.rank}", json.dumps(card))
    cards = _read_cards(ctx, store)
    leaders = _leaders(cards)
    if ctx.rank in leaders and len(leaders) > 1:
        _probe_all(ctx, cards, leaders, nonce)
        store.set(f"done/{ctx.rank}", "")
        store.wait([f"done/{r}" for r in leaders])
    if listener is not None:
        listener.close()
    hosts = {c["host"] for c in cards.values()}
    return f"{len(hosts)} host(s), {len(leaders)} distinct address(es)"


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
    """The lowest rank of each (host, address): what is true for it is true for the others there."""
    first: dict[tuple[str, str], int] = {}
    for rank, card in sorted(cards.items()):
        first.setdefault((card["host"], card["address"]), rank)
    return tuple(sorted(first.values()))


def _probe_all(ctx: RankContext, cards: dict[int, dict[str, Any]], leaders: tuple[int, ...], nonce: bytes) -> None:
    def one(peer: int) -> None:
        card = cards[peer]
        for probe in exchange(card["address"], card["port"], nonce, peer):
            ctx.journal.probed(probe)

    peers = [r for r in leaders if r != ctx.rank and cards[r]["port"]]
    ctx.journal.tries(tuple(peers))
    threads = [threading.Thread(target=one, args=(p,), name=socket.gethostname()) for p in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
