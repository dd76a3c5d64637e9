"""What is tried from outside when a world stands still: the connections that its ranks wait for, or would need."""

from __future__ import annotations

from collections.abc import Mapping

from commcheck.model import journal
from commcheck.model.case import Socket
from commcheck.model.phase import PHASES, Phase
from commcheck.model.plan import Place
from commcheck.probe.agent import Request, Target
from commcheck.runtime.world import RunningRank, RunningWorld

TARGETS_LIMIT = 64
"""Connections tried per place when a world stalls."""
CONNECTED = PHASES[PHASES.index(Phase.FIRST_COLLECTIVE) :]
"""The phases in which all ranks are connected: they open no connections that could show what is wrong."""
ANY = ("0.0.0.0", "::")

Tables = Mapping[int, tuple[Socket, ...]]


def requests(world: RunningWorld, tables: Tables) -> dict[Place, Request]:
    """By place: the store's port and who listens there, for ranks that wait for the store; each other's data ports, for
    those that connect; the same, for those that are connected and of which one is not heard any more."""
    by_phase: dict[Phase | None, list[RunningRank]] = {}
    for rank in world.ranks:
        by_phase.setdefault(phase_of(rank), []).append(rank)
    store = by_phase.get(Phase.STORE, [])
    targets: dict[Place, list[Target]] = {}
    listening: dict[Place, set[int]] = {}

    def add(rank: RunningRank, found: list[Target]) -> None:
        if found:
            targets.setdefault(rank.plan.place, []).extend(found)

    for rank in world.ranks if store else ():
        port = port_of(rank)
        if port is not None:
            listening.setdefault(rank.plan.place, set()).add(port)
    for rank in store:
        add(rank, _store(rank))
    for zero in (r for r in world.alive if store and number(r) == 0):
        add(zero, _ways_back(zero, store, tables))
    meeting = [r for r in by_phase.get(Phase.GROUP, []) if r.alive]
    for rank in meeting:
        add(rank, _data(rank, meeting, tables))
    # NCCL connects in the first collective, and a connection that it does not expect may disturb it.
    forming = [r for r in by_phase.get(Phase.FIRST_COLLECTIVE, []) if r.alive and "nccl" in r.plan.backend]
    for rank in forming:
        add(rank, _data(rank, forming, tables, only_awaited=True))
    if any(s.stuck for rows in tables.values() for s in rows):
        connected = [r for p in CONNECTED for r in by_phase.get(p, []) if r.alive]
        for rank in connected:
            add(rank, _data(rank, connected, tables))
    return {
        place: Request(
            parent=0,
            targets=tuple(targets.get(place, ())[:TARGETS_LIMIT]),
            listening_on=tuple(sorted(listening.get(place, ()))),
        )
        for place in targets.keys() | listening.keys()
    }


def phase_of(rank: RunningRank) -> Phase | None:
    """The last phase that the rank has spoken of."""
    for event in reversed(rank.events):
        if isinstance(event, journal.Began | journal.Finished):
            return event.phase
    return None


def port_of(rank: RunningRank) -> int | None:
    """The store's port, as the rank was told; None where that is no port."""
    text = rank.plan.environment.get("MASTER_PORT", "")
    return int(text) if text.isdigit() and 0 < int(text) < 65536 else None


def number(rank: RunningRank) -> int:
    """What the rank calls itself."""
    text = rank.plan.environment.get("RANK", "")
    return int(text) if text.removeprefix("-").isdigit() else rank.plan.slot


def _store(rank: RunningRank) -> list[Target]:
    port = port_of(rank)
    address = rank.plan.environment.get("MASTER_ADDR", "")
    if port is None or not address:
        return []
    return [Target(rank=rank.plan.slot, address=address, port=port, kind="master", peer_rank=0)]


def _ways_back(zero: RunningRank, store: list[RunningRank], tables: Tables) -> list[Target]:
    """From rank 0's host to those whose connections to its store get no answer: only whether there is a way matters."""
    port = port_of(zero)
    found = []
    for rank in store:
        own = {s.local_address for s in tables.get(rank.plan.slot, ()) if s.state == "SYN-SENT"}
        if port is not None and rank.plan.place != zero.plan.place:
            found += [
                Target(rank=zero.plan.slot, address=a, port=port, kind="back", peer_rank=number(rank))
                for a in sorted(own)
            ]
    return found


def _data(rank: RunningRank, others: list[RunningRank], tables: Tables, *, only_awaited: bool = False) -> list[Target]:
    """The listeners of `others`, as the kernel shows them; those of its own host only where the rank waits for one."""
    waits = {(s.remote_address, s.remote_port) for s in tables.get(rank.plan.slot, ()) if s.state == "SYN-SENT"}
    store = port_of(rank)

    def wanted(s: Socket, other: RunningRank) -> bool:
        far = other.plan.place != rank.plan.place and not only_awaited
        return s.local_port not in (store, port_of(other)) and (far or (s.local_address, s.local_port) in waits)

    return [
        Target(rank=rank.plan.slot, address=s.local_address, port=s.local_port, kind="data", peer_rank=number(other))
        for other in others
        if other is not rank
        for s in _listeners(other, tables)
        if wanted(s, other)
    ]


def _listeners(rank: RunningRank, tables: Tables) -> list[Socket]:
    """Where a rank listens at an address of its own."""
    return [s for s in tables.get(rank.plan.slot, ()) if s.state == "LISTEN" and s.local_address not in ANY]
