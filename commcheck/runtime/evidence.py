"""What can be seen of a world from outside, before anything in it is ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import NamedTuple

from commcheck.model.case import ProcessState, Socket
from commcheck.runtime.working import works
from commcheck.runtime.world import RunningRank, RunningWorld
from commcheck.system import carriers, process, sockets

STACK_DEADLINE = 0.25
"""Seconds for the ranks' Python stacks after they were asked; faulthandler answers from the signal handler itself."""
WORKING = ("R", "D")
"""States of a process that has something to do: it waits for a processor, of which a busy machine has none, or a disk."""


def states(world: RunningWorld) -> dict[int, ProcessState]:
    """The state of every live process, by slot."""
    found = {}
    for rank in world.alive:
        state = process.state(rank.pid) if rank.pid is not None else None
        if state is not None:
            found[rank.plan.slot] = state
    return found


def socket_tables(world: RunningWorld) -> dict[int, tuple[Socket, ...]]:
    """The sockets of every live process, by slot; the table of a network namespace is read once."""
    tables: dict[int, dict[str, Socket]] = {}
    found = {}
    for rank in world.alive:
        if rank.pid is None:
            continue
        try:
            namespace = os.stat(f"/proc/{rank.pid}/ns/net").st_ino
        except OSError:
            continue
        if namespace not in tables:
            tables[namespace] = sockets.table(rank.pid)
        found[rank.plan.slot] = sockets.of_process(rank.pid, tables[namespace])
    return found


def carrier_changes(world: RunningWorld) -> dict[int, dict[str, int]]:
    """How often the carrier of each interface of a live process's host has changed, by slot; read once per host."""
    read: dict[tuple[int, int], dict[str, int]] = {}
    found = {}
    for rank in world.alive:
        try:
            place = (os.stat(f"/proc/{rank.pid}/ns/net").st_ino, os.stat(f"/proc/{rank.pid}/ns/mnt").st_ino)
        except OSError:
            continue
        if place not in read:
            read[place] = carriers.changes(f"/proc/{rank.pid}/root")
        found[rank.plan.slot] = read[place]
    return found


def stacks(world: RunningWorld, known: dict[int, ProcessState]) -> dict[int, tuple[str, ...]]:
    """The Python stacks of all threads of every live rank, by slot. A stopped process cannot answer."""
    asked = []
    for rank in world.alive:
        state = known.get(rank.plan.slot)
        if state is None or state.stopped:
            continue
        rank.text["stack"].clear()
        world.signal(rank, signal.SIGUSR1)
        asked.append(rank)
    deadline = time.monotonic() + STACK_DEADLINE
    while any(not _complete(r) for r in asked) and time.monotonic() < deadline:
        world.pump(deadline)
    return {r.plan.slot: _stack(r) for r in asked}


def _complete(rank: RunningRank) -> bool:
    """faulthandler prints the current thread, which is the interpreter's main one, last."""
    return not rank.alive or (b"rank.py" in rank.text["stack"] and rank.text["stack"].endswith(b"\n"))


def _stack(rank: RunningRank) -> tuple[str, ...]:
    return tuple(rank.text["stack"].decode(errors="replace").splitlines())


class Activity(NamedTuple):
    """What of a rank changes while it does something. `due`: it waits for a look-up, a disk, or a processor; `spins`: using
    the processor is no sign of work, since NCCL and CUDA wait by asking again and again."""

    cpu: float
    faults: int
    queued: int
    connected: int
    due: bool
    spins: bool


def activity(world: RunningWorld, tables: dict[int, tuple[Socket, ...]]) -> dict[int, Activity]:
    """Something to compare with itself a moment later, by slot: does anything move? `tables`: the `socket_tables` of now."""
    known = states(world)
    found = {}
    for rank in world.alive:
        slot = rank.plan.slot
        if rank.pid is None or slot not in known:
            continue
        mine = tables.get(slot, ())
        spins = "nccl" in (rank.plan.backend or world.plan.backend)
        below = _below(rank.pid)
        family = (known[slot], *below)
        working = any(s.state in WORKING for s in below) or known[slot].state in (WORKING[1:] if spins else WORKING)
        found[slot] = Activity(
            cpu=sum(s.cpu for s in family),
            faults=sum(s.faults for s in family),
            queued=sum(s.send_queue + s.receive_queue for s in mine if s.protocol == "tcp" and s.state == "ESTAB"),
            connected=len([s for s in mine if s.state == "ESTAB"]),
            due=working or any(s.asks_for_names for s in mine),
            spins=spins,
        )
    return found


def crowded(world: RunningWorld) -> bool:
    """More ranks want a processor than there are."""
    return sum(s.state == "R" for s in states(world).values()) > len(os.sched_getaffinity(0))


def _below(pid: int) -> tuple[ProcessState, ...]:
    """The processes that a rank has started: while they load its data, it only waits."""
    below = (process.state(child) for child in process.descendants(pid))
    return tuple(state for state in below if state is not None)


def moved(before: Mapping[int, Activity], after: Mapping[int, Activity]) -> bool:
    """Whether any rank computed, sent, received, connected, or waits for the resolver, a processor or a disk."""
    if len(before) != len(after):
        return True
    for slot, now in after.items():
        then = before.get(slot)
        if then is None or now.due or (now.queued, now.connected) != (then.queued, then.connected):
            return True
        if works(now.cpu - then.cpu, now.faults - then.faults, spins=now.spins):
            return True
    return False
