"""The recorded calls of several ranks (`ingest.flight_recorder`) -> a `Case` whose ranks' calls the rules can compare.

The rules compare the calls of all ranks position by position. Ranks of a large job are in several groups, and each group
counts for itself; so what is given to the rules is one group: the one in which the trouble began.

- A group is *stuck* where one of its ranks is in a call, or where the ranks' calls differ.
- A rank that has not come to a stuck group's call may itself be held up in another group: then that one comes first.
- Where every late rank is held up elsewhere, the groups wait for each other: what is compared is each rank's call.
- What one rank sends to another counts as a group of the two: the n-th send belongs to the n-th recv.

Pure; everything here is computed from the dumps.
"""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.diagnose.ingest.flight_recorder import Call, Dump
from commcheck.model.base import Value, ranks_text, spans
from commcheck.model.case import Case, Collective, Ended, Origin, PhaseRecord, RankRecord, World
from commcheck.model.phase import Phase, PhaseStatus

KEPT = 400
"""Calls per rank that go into a case: the last ones, and those around the first that differs."""


class _Group(Value, frozen=True):
    """One group: the calls of each of its ranks that left a dump, from the first that all of them still remember.

    `front`: the sequence number of the newest call of any rank. `late`: who has not issued it. `waiting`: who is in a
    call. `differs_at`: the position of the first call in which two ranks differ."""

    name: str
    members: tuple[int, ...]
    calls: dict[int, tuple[Call, ...]]
    front: int
    late: tuple[int, ...]
    waiting: frozenset[int]
    differs_at: int | None

    def last(self, rank: int) -> Call | None:
        """The rank's newest call in this group."""
        return self.calls[rank][-1] if self.calls[rank] else None


def _group(name: str, members: tuple[int, ...], calls: dict[int, tuple[Call, ...]]) -> _Group:
    newest = {r: c[-1].seq if c else 0 for r, c in calls.items()}
    front = max(newest.values(), default=0)
    late = tuple(r for r, seq in newest.items() if seq < front)
    # Gloo's record does not tell a call that timed out from one that came back: one that a member has not issued cannot
    # have come back.
    timed_out = bool(late) and front - max(newest[r] for r in late) == 1
    ahead = ((r, c[-1]) for r, c in calls.items() if c and newest[r] == front)
    waiting = frozenset(r for r, c in ahead if not c.ended or (timed_out and c.backend == "gloo"))
    rows = [c for c in calls.values() if c]
    differs_at = None
    for at in range(max(map(len, rows), default=0)):
        if len({_key(row[at]) for row in rows if at < len(row)}) > 1:
            differs_at = at
            break
    return _Group(
        name=name, members=members, calls=calls, front=front, late=late, waiting=waiting, differs_at=differs_at
    )


def _key(call: Call) -> tuple[object, ...]:
    return (call.seq, call.op, call.elements, call.dtype)


def case_of(dumps: tuple[Dump, ...]) -> Case:
    """The case of some ranks' dumps; of two with the same rank the later one counts."""
    by_rank = {d.rank: d for d in dumps}
    # Whoever waits in a collective waits there: a recv may have been posted long before its message is due.
    groups = [*_pairs(by_rank), *_groups(by_rank)]
    held = {rank: group.name for group in groups for rank in group.waiting}
    chosen = _chosen(groups, held)
    expected = sorted({r for g in groups for r in g.members})
    absent = tuple(r for r in expected if r not in by_rank)
    notes = []
    if absent:
        notes.append(f"{ranks_text(absent)}: no dump (it may have died, or its file was not copied)")
    forgetful = tuple(r for r, d in by_rank.items() if d.forgotten and any(c.peer is not None for c in d.calls))
    if forgetful:
        notes.append(
            f"sends and recvs of {ranks_text(forgetful)} are not compared, since older ones are forgotten:"
            " TORCH_FR_BUFFER_SIZE (TORCH_NCCL_TRACE_BUFFER_SIZE) is how many calls are kept"
        )
    calls: dict[int, tuple[Call, ...]] = {}
    stuck = chosen is not None
    if chosen is not None:
        calls = chosen.calls
        if not chosen.late and chosen.differs_at is None:
            notes.append(_agreeing(chosen))
    elif held and groups:
        calls = _current(groups, held)
        stuck = True
    named = {g.name: spans(g.members) for g in groups}
    return Case(
        origin=Origin.LOG,
        world=World(size=max(len(expected), len(by_rank)), backend=_backend(dumps)),
        ranks=tuple(
            _record(slot, by_rank[rank], calls.get(rank), chosen, named, _backend(dumps))
            for slot, rank in enumerate(sorted(by_rank))
        ),
        complete=False,
        ended=Ended.STALLED if stuck else Ended.NOT_RUN,
        not_read=tuple(notes),
    )


def _agreeing(group: _Group) -> str:
    """What ranks tell that are all in one call: of a whole group that the network is to be looked at, of a part of it
    nothing yet."""
    call = group.last(min(group.waiting))
    where = f"in call {group.front} of group {group.name} ({call.op if call else '?'})"
    absent = tuple(r for r in group.members if r not in group.calls)
    if not absent:
        return f"all {len(group.calls)} ranks are {where} and their calls agree: look at links and devices"
    who = tuple(group.calls)
    return (
        f"{ranks_text(who)} {'is' if len(who) == 1 else 'are'} {where}; whether {ranks_text(absent)} came to it, and with what,"
        f" only the dump{'s' * (len(absent) > 1)} of {ranks_text(absent)} can tell: give {'them' if len(absent) > 1 else 'it'} too"
    )


def _groups(dumps: dict[int, Dump]) -> list[_Group]:
    """All groups of which calls were recorded."""
    names = dict.fromkeys(c.group for d in dumps.values() for c in d.calls if c.peer is None)
    found = []
    for name in names:
        told = _told(dumps, name)
        mine = {
            r: tuple(c for c in dumps[r].calls if c.group == name and c.peer is None)
            for r in sorted(told)
            if r in dumps
        }
        # The buffer is a ring: what the busiest rank has forgotten already is compared with nobody.
        begin = max((c[0].seq for c in mine.values() if c), default=0)
        begin = max(begin, max((c[-1].seq for c in mine.values() if c), default=0) - KEPT) if _same(mine) else begin
        kept = {r: tuple(c for c in calls if c.seq >= begin) for r, calls in mine.items()}
        found.append(_group(name, tuple(sorted(told)), kept))
    return found


def _told(dumps: dict[int, Dump], name: str) -> set[int]:
    """The members of a group: those that the dumps name, else all with a call in it."""
    told = {r for d in dumps.values() for r in d.groups.get(name, ())}
    if told:
        return told
    whole = any(d.whole == name for d in dumps.values())
    return {r for r, d in dumps.items() if whole or any(c.group == name for c in d.calls)}


def _pairs(dumps: dict[int, Dump]) -> list[_Group]:
    """A group for each two ranks of which one sends to the other, as far as both remember all their calls."""
    members: dict[str, tuple[int, ...]] = {}
    rows: dict[tuple[str, int, int], dict[int, list[Call]]] = {}
    for rank, dump in dumps.items():
        for call in dump.calls:
            if call.peer is None:
                continue
            known = members.get(call.group) or tuple(sorted(_told(dumps, call.group)))
            members[call.group] = known
            peer = known[call.peer] if call.peer < len(known) else call.peer
            source, target = (rank, peer) if call.op == "send" else (peer, rank)
            row = rows.setdefault((call.group, source, target), {r: [] for r in (source, target) if r in dumps})
            name = f"{source} to {target}" + (f" in {call.group}" if len(members) > 1 else "")
            mine = row[rank]
            mine.append(replace(call, seq=len(mine) + 1, op=f"send from {source} to {target}", group=name))
    found = []
    for (_, source, target), row in rows.items():
        ranks = tuple(sorted((source, target)))
        if not any(dumps[r].forgotten for r in row):
            calls = {r: tuple(c) for r, c in row.items()}
            found.append(_group(next(c.group for own in calls.values() for c in own), ranks, calls))
    return found


def _same(calls: dict[int, tuple[Call, ...]]) -> bool:
    """All ranks agree in all that they have in common, so that old calls say nothing."""
    known: dict[int, tuple[object, ...]] = {}
    return all(known.setdefault(c.seq, key) == key for row in calls.values() for c in row for key in (_key(c),))


def _chosen(groups: list[_Group], held: dict[int, str]) -> _Group | None:
    """The group in which the trouble began; None where nothing is wrong, or where groups wait for each other."""
    differing = [g for g in groups if g.differs_at is not None]
    if differing:
        return min(differing, key=lambda g: _since(g, g.differs_at))
    stuck = [g for g in groups if g.waiting]
    roots = [g for g in stuck if not g.late or any(held.get(r) in (None, g.name) for r in g.late)]
    # A group whose ranks are all there waits for no other; one with a rank that does nothing waits for that rank.
    return min(roots, key=lambda g: (not g.late, _since(g, None))) if roots else None


def _since(group: _Group, at: int | None) -> float:
    """When the trouble began, in seconds since the epoch."""
    if at is None:
        return min((c.created for r in group.waiting if (c := group.last(r))), default=0.0)
    return min((c[at].created for c in group.calls.values() if at < len(c)), default=0.0)


def _current(groups: list[_Group], held: dict[int, str]) -> dict[int, tuple[Call, ...]]:
    """The one call in which each rank is held up."""
    by_name = {g.name: g for g in groups}
    return {rank: (call,) for rank, name in held.items() if (call := by_name[name].last(rank)) is not None}


def _record(
    slot: int, dump: Dump, calls: tuple[Call, ...] | None, chosen: _Group | None, members: dict[str, str], usual: str
) -> RankRecord:
    """A rank with the calls that are compared. One outside the group has none, and no phase: it is not judged."""
    waits = chosen is None or dump.rank in chosen.waiting
    last = len(calls) - 1 if calls else 0
    issued = tuple(
        Collective(
            index=c.seq,
            op=c.op,
            shape=(c.elements,),
            dtype=c.dtype,
            group=members.get(c.group, spans(())),
            phase=Phase.STEADY,
            done=not (waits and position == last),
        )
        for position, c in enumerate(calls or ())
    )
    phases = (
        PhaseRecord(phase=Phase.FIRST_COLLECTIVE, status=PhaseStatus.OK, begin=0.0, seconds=0.0),
        PhaseRecord(phase=Phase.STEADY, status=PhaseStatus.RUNNING, begin=0.0, seconds=0.0),
    )
    newest = dump.calls[-1].frames if dump.calls else ()
    return RankRecord(
        slot=slot,
        rank=dump.rank,
        world_size=None,
        host="",
        backend=_backend((dump,)) or usual,  # one that has called nothing says nothing of its backend
        collectives=issued,
        phases=phases if calls is not None else (),
        stack=newest,
    )


def _backend(dumps: tuple[Dump, ...]) -> str:
    return next((c.backend for d in dumps for c in d.calls if c.backend), "")
