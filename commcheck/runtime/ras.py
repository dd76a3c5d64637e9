"""Asks NCCL's RAS of running ranks how the job stands: only where the kernel shows that a rank itself listens for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from commcheck.diagnose.ingest import ras_json, ras_text
from commcheck.errors import CommcheckError
from commcheck.model.case import LogLine, Socket
from commcheck.model.plan import Place
from commcheck.model.ras import Answer
from commcheck.probe.agent import Request
from commcheck.probe.ras import ANSWER, VARIABLE, Door, Reply, door
from commcheck.runtime.agents import Asking
from commcheck.runtime.world import RunningWorld
from commcheck.system import procs

DOORS = 2
"""Of one host that are asked: each process knows of the whole job, and by default all listen on one port."""

OF_A_WORLD = 2.0
"""Seconds for the answer about a world of ours: it comes in milliseconds, or waits for a rank that is stopped, of which /proc
tells here."""


class Rank(NamedTuple):
    """A rank that may be asked: where it runs, its process, what it was started with, and its sockets."""

    place: Place
    pid: int
    environment: dict[str, str]
    sockets: tuple[Socket, ...]


def of_world(
    world: RunningWorld, tables: Mapping[int, tuple[Socket, ...]]
) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """What NCCL itself knows of a world of ours, where its ranks have come so far that it listens. `tables`: by slot."""
    alive = ((r, r.pid) for r in world.alive if r.pid is not None)
    ranks = (Rank(r.plan.place, pid, r.plan.environment, tables.get(r.plan.slot, ())) for r, pid in alive)
    return answers(ranks, patience=OF_A_WORLD)


def answers(ranks: Iterable[Rank], *, patience: float = ANSWER) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """What RAS says where it listens, and why it does not say it elsewhere. Each answer may take `patience` seconds."""
    doors: dict[Place, dict[tuple[str, int], Door]] = {}
    pids: set[int] = set()
    for rank in ranks:
        pids |= {rank.pid, procs.inner(rank.pid)}
        if (found := door(rank.environment.get(VARIABLE), rank.sockets)) is not None:
            at = Door(host=found.host, port=found.port, patience=patience)
            doors.setdefault(rank.place, {}).setdefault((at.host, at.port), at)
    if not doors:
        return (), ()
    asked = {place: tuple(ways.values())[:DOORS] for place, ways in doors.items()}
    told: list[Answer] = []
    notes: list[str] = []
    try:
        with Asking({place: Request(parent=0, place=place, ras=ways) for place, ways in asked.items()}) as asking:
            for place, answer in asking.answers().items():
                if answer.failed:
                    notes.append(f"NCCL's RAS on {place.host or 'this host'}: {answer.failed}")
                for way, reply in zip(asked[place], answer.ras, strict=False):
                    read, why = _read(f"RAS at {way.host}:{way.port}", reply, pids)
                    told += read
                    notes += why
    except CommcheckError as error:
        notes.append(f"NCCL's RAS: {error}")
    return tuple(told), tuple(notes)


def _read(source: str, reply: Reply, pids: set[int]) -> tuple[tuple[Answer, ...], list[str]]:
    """A reply as an answer. One that speaks of other processes alone is of another job, whose processes may listen on the
    same port; text names only few."""
    if reply.failed:
        return (), [reply.failed]
    now = time.monotonic()
    if not reply.text.lstrip().startswith("{"):
        rows = enumerate(reply.text.splitlines(), 1)
        said = ras_text.read(LogLine(source=source, number=number, text=text) for number, text in rows)
        return tuple(replace(one, seconds=now) for one in said), []
    try:
        found = ras_json.parse(source, reply.text.encode())
    except CommcheckError as error:
        return (), [str(error)]
    there = {p.pid for one in found for p in one.members}
    if there and not there & pids:
        return (), [f"{source}: another job answers there"]
    return tuple(replace(one, seconds=now) for one in found), []
