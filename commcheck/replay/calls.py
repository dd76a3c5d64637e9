"""The dumps of all ranks -> the script that plays their calls: which groups, which calls, of which size. Pure.

Dumps say neither with which operation a call reduces, nor the root of a broadcast, nor the sizes of uneven splits; gloo's
leave out calls between two ranks, too. What is not known is chosen alike for all ranks, so that it makes no difference
between them, and is said. Sizes are cut, in such a way that what differed still differs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from commcheck.diagnose.ingest import flight_recorder as recorder
from commcheck.errors import InputError
from commcheck.model.base import Value, ranks_text
from commcheck.model.script import Part, Play, Script

LARGEST_BYTES = 1 << 16
"""Bytes that a rank brings to, or takes from, one call at most: a full recorder of 2000 calls is then played in some hundred
megabytes, and no collective behaves otherwise with more."""
LOOK_BACK = 100
"""Calls of a group that are played before the one that matters: what came back on all ranks long ago decides nothing."""
WIDEST = 16
"""Bytes of the widest element there is (complex128)."""
WORLD = -1

_TO, _FROM = re.compile(r"(\d+)->(\d+)"), re.compile(r"(\d+)<-(\d+)")
_EACH_OWN = frozenset(("all_to_all", "send", "recv"))
"""Calls to which every rank may bring another size."""
ROOTED = frozenset(("broadcast", "reduce", "gather", "scatter"))
PLAYED = frozenset(
    (
        "all_reduce", "barrier", "broadcast", "reduce", "all_gather", "all_gather_into_tensor", "reduce_scatter",
        "reduce_scatter_tensor", "all_to_all", "gather", "scatter", "send", "recv",
    )
)  # fmt: skip
SAME = {
    "all_gather_into_tensor_coalesced": "all_gather_into_tensor",
    "allgather_into_tensor_coalesced": "all_gather_into_tensor",
    "reduce_scatter_tensor_coalesced": "reduce_scatter_tensor",
    "allreduce_coalesced": "all_reduce",
    "all_reduce_coalesced": "all_reduce",
    "all_reduce_sparse": "all_reduce",
    "alltoall": "all_to_all",
    "alltoall_base": "all_to_all",
    "all_to_all_base": "all_to_all",
}
"""Calls that are played as another one, with the same number of elements in all."""


class Entry(Value, frozen=True):
    """One call as a rank's dump has it. `number` tells the group's calls apart; `brings`, `takes`: elements; `root`: this rank
    is it, as far as sizes show; `peer`: a rank within the group, of calls between two."""

    op: str
    dtype: str
    label: str
    number: int
    brings: int
    takes: int
    elements: int
    whole: bool
    root: bool = False
    peer: int = -1


class Tape(Value, frozen=True):
    """One rank's dump: its calls in their order, and the members of the groups that it knows."""

    rank: int
    entries: tuple[Entry, ...]
    groups: dict[str, tuple[int, ...]]


def tape(name: str, data: bytes) -> Tape:
    """One dump. Raises InputError."""
    dump = recorder.parse(name, data)
    raw = recorder.decoded(name, data).get("entries")
    rows: Sequence[Any] = raw if isinstance(raw, list | tuple) else ()
    entries = tuple(e for e in map(_entry, rows) if e is not None)
    return Tape(rank=dump.rank, entries=entries, groups=dump.groups)


def _entry(row: Any) -> Entry | None:
    if not isinstance(row, dict):
        return None
    between_two = row.get("is_p2p") is True
    call = recorder.call_of(row | {"is_p2p": False})
    if call is None:
        return None
    said = str(row.get("profiling_name", ""))
    peer = -1
    found = _TO.search(said) or _FROM.search(said)
    if found and call.op in ("send", "recv"):
        peer = int(found[2])
    brings, takes = recorder.elements_in(row.get("input_sizes")), recorder.elements_in(row.get("output_sizes"))
    other = row.get("output_dtypes")
    dtype = call.dtype
    if not dtype and isinstance(other, list | tuple) and other:
        dtype = recorder.DTYPES.get(str(other[0]), str(other[0]).lower())
    number = row.get("p2p_seq_id") if between_two else call.seq
    return Entry(
        op=SAME.get(call.op, call.op), dtype=dtype, label=call.group,
        number=number if isinstance(number, int) else call.seq, brings=brings, takes=takes,
        elements=0 if between_two else call.elements, whole=recorder.is_whole(row),
        root=(call.op == "gather" and takes > 0) or (call.op == "scatter" and brings > 0), peer=peer,
    )  # fmt: skip


# -- all ranks together


def script(tapes: Iterable[Tape]) -> Script:
    """The script of all ranks that there were. Raises InputError where nothing can be played."""
    by_rank = {t.rank: t for t in tapes}
    if not any(t.entries for t in by_rank.values()):
        raise InputError(
            "the dumps hold no call: was TORCH_FR_BUFFER_SIZE (TORCH_NCCL_TRACE_BUFFER_SIZE) set in the job?"
        )
    everybody = sorted({*by_rank, *(r for t in by_rank.values() for members in t.groups.values() for r in members)})
    world = tuple(range(everybody[-1] + 1))
    if len(world) > recorder_limit(len(by_rank)):
        raise InputError(
            f"the dumps are of rank {everybody[-1]} at most, and only {len(by_rank)} are here: give those of all"
        )
    groups = _Groups(by_rank, world)
    notes = _notes(by_rank, world, groups)
    cap = max(1, LARGEST_BYTES // (WIDEST * max([len(world), *map(len, groups.listed)])))
    sizes = _cut({_part(e, len(groups.members(t, e))) for t in by_rank.values() for e in t.entries}, cap)
    roots = _roots(by_rank, groups)
    first = _first(by_rank)
    parts = []
    for rank in world:
        own = by_rank.get(rank)
        if own is None:
            parts.append(Part(rank=rank, recorded=False))
            continue
        calls = [
            _play(own, e, groups, sizes, roots)
            for e in own.entries
            if e.op in PLAYED and (e.peer >= 0 or e.number >= first.get(e.label, 0))
        ]
        parts.append(Part(rank=rank, calls=tuple(calls)))
    left_out = max((len(t.entries) - len(parts[t.rank].calls) for t in by_rank.values()), default=0)
    if any(number > 1 for number in first.values()) and left_out:
        notes.append(
            f"up to {left_out} calls of a rank are left out: in them all ranks agreed, or not all remember them"
        )
    return Script(parts=tuple(parts), groups=tuple(groups.listed), notes=tuple(notes))


def recorder_limit(dumps: int) -> int:
    """How large a world may be of which so many dumps are there: a wrong number in a name is no world of millions."""
    return max(64, 4 * dumps)


class _Groups:
    """The groups that the calls are of. One name may stand for other members on another rank: then there are two."""

    def __init__(self, by_rank: dict[int, Tape], world: tuple[int, ...]) -> None:
        self.world = world
        self.listed: list[tuple[int, ...]] = []
        self._at: dict[tuple[str, tuple[int, ...]], int] = {}
        self._whole = {e.label for t in by_rank.values() for e in t.entries if e.whole}
        self._seen: dict[str, set[int]] = {}
        for tape in by_rank.values():
            for entry in tape.entries:
                self._seen.setdefault(entry.label, set()).add(tape.rank)
        found = {
            (e.label, self.members(t, e)) for t in by_rank.values() for e in t.entries if e.label not in self._whole
        }
        # Names count up as groups are made.
        for key in sorted(found, key=lambda k: (not k[0].isdigit(), int(k[0]) if k[0].isdigit() else 0, k)):
            self._at[key] = len(self.listed)
            self.listed.append(key[1])

    def members(self, tape: Tape, entry: Entry) -> tuple[int, ...]:
        """Who is in the group of a call, as its rank says; else who has called in it."""
        if entry.label in self._whole:
            return self.world
        own = tape.groups.get(entry.label, ())
        return own if tape.rank in own else tuple(sorted(self._seen[entry.label]))

    def at(self, tape: Tape, entry: Entry) -> int:
        """The group's place in the script."""
        return WORLD if entry.label in self._whole else self._at[entry.label, self.members(tape, entry)]


def _first(by_rank: dict[int, Tape]) -> dict[str, int]:
    """By group: the first call that is played. All of its ranks still remember it (recorders are rings), and at most
    `LOOK_BACK` calls in which all agree come before the first in which two differ, or that somebody has not issued."""
    oldest: dict[str, int] = {}
    newest: dict[str, int] = {}
    differs: dict[str, int] = {}
    seen: dict[tuple[str, int], tuple[str, int, str]] = {}
    for tape in by_rank.values():
        own: dict[str, list[int]] = {}
        for entry in tape.entries:
            if entry.peer >= 0:
                continue
            own.setdefault(entry.label, []).append(entry.number)
            what = (entry.op, entry.elements, entry.dtype)
            if seen.setdefault((entry.label, entry.number), what) != what:
                differs[entry.label] = min(differs.get(entry.label, entry.number), entry.number)
        for label, numbers in own.items():
            oldest[label] = max(oldest.get(label, 0), numbers[0])
            newest[label] = min(newest.get(label, numbers[-1]), numbers[-1])
    return {
        label: max(oldest[label], min(newest[label], differs.get(label, newest[label])) - LOOK_BACK) for label in oldest
    }


def _part(entry: Entry, members: int) -> int:
    """How many elements are one rank's part of a call."""
    if entry.op == "barrier":
        return 0
    if entry.op in ("reduce_scatter", "reduce_scatter_tensor", "scatter"):
        return entry.takes
    if entry.op == "all_to_all":
        return max(1, entry.brings // max(1, members)) if entry.brings else 0
    return entry.brings or entry.takes


def _cut(sizes: Iterable[int], cap: int) -> dict[int, int]:
    """Each size as it is played: those above `cap` follow it one by one, so that none becomes equal to another."""
    large = sorted(s for s in set(sizes) if s > cap)
    return {s: s for s in set(sizes) if s <= cap} | {s: cap + 1 + i for i, s in enumerate(large)}


def _roots(by_rank: dict[int, Tape], groups: _Groups) -> dict[tuple[str, int], int]:
    """By group and number: the rank that sizes show to be the root."""
    found: dict[tuple[str, int], int] = {}
    for rank in sorted(by_rank):
        for entry in by_rank[rank].entries:
            if entry.root:
                found.setdefault((entry.label, entry.number), rank)
    return found


def _play(tape: Tape, entry: Entry, groups: _Groups, sizes: dict[int, int], roots: dict[tuple[str, int], int]) -> Play:
    members = groups.members(tape, entry)
    peer = -1
    if entry.op in ROOTED:
        peer = tape.rank if entry.root else roots.get((entry.label, entry.number), members[0])
        peer = peer if peer in members else members[0]
    elif 0 <= entry.peer < len(members):
        peer = members[entry.peer]
    return Play(
        op=entry.op, dtype=entry.dtype, label=entry.label, seq=entry.number, group=groups.at(tape, entry),
        size=sizes[_part(entry, len(members))], elements=entry.elements, peer=peer,
    )  # fmt: skip


def _notes(by_rank: dict[int, Tape], world: tuple[int, ...], groups: _Groups) -> list[str]:
    entries = [e for t in by_rank.values() for e in t.entries]
    notes = [
        "dumps do not say how calls reduce, nor the roots of broadcasts: all sum up, and the first rank is the root"
    ]
    absent = [r for r in world if r not in by_rank]
    if absent:
        notes.append(
            f"{ranks_text(absent)}: no dump, so it is not known what it called: here it calls nothing, and is not judged"
        )
    unknown = sorted({e.op for e in entries} - PLAYED - {"coalesced"})
    if unknown:
        notes.append(f"not played, on any rank: {', '.join(unknown)}")
    if any(e.op in _EACH_OWN and e.op == "all_to_all" for e in entries):
        notes.append("all_to_all is played with even splits")
    return notes


# -- fewer ranks


def folded(whole: Script, kept: tuple[int, ...]) -> Script:
    """The script with these ranks alone, which get the numbers from 0 on. Groups lose who is not there."""
    new = {old: number for number, old in enumerate(kept)}
    groups = tuple(tuple(new[r] for r in members if r in new) for members in whole.groups)
    parts = []
    for old in kept:
        calls = []
        for call in whole.parts[old].calls:
            members = tuple(range(len(kept))) if call.group == WORLD else groups[call.group]
            if call.op in ("send", "recv"):
                if call.peer not in new:
                    continue
                calls.append(replace(call, peer=new[call.peer]))
            elif call.peer >= 0:
                calls.append(replace(call, peer=new.get(call.peer, members[0])))
            else:
                calls.append(call)
        parts.append(replace(whole.parts[old], calls=tuple(calls)))
    return replace(whole, parts=tuple(parts), groups=groups)
