"""The calls of a job, from its dumps, played as a gloo world on this machine."""

from __future__ import annotations

import os
import shlex
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec.structs import replace

from commcheck import api
from commcheck.diagnose import build
from commcheck.diagnose.calls import behind, difference
from commcheck.diagnose.ingest import flight_recorder
from commcheck.diagnose.match import decided, judge
from commcheck.diagnose.recorded import case_of
from commcheck.errors import InputError, UsageError
from commcheck.model.base import spans
from commcheck.model.case import Case, Origin, RankRecord
from commcheck.model.diagnosis import Report
from commcheck.model.phase import PHASES, Phase
from commcheck.model.plan import Plan
from commcheck.model.script import Script, encode
from commcheck.planner import local_plan
from commcheck.replay.bundle import RECORDED, Bundle, bundle_of
from commcheck.replay.calls import WORLD, folded, script, tape
from commcheck.replay.fold import chosen
from commcheck.replay.guard import script as recording
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms
from commcheck.scenarios.plan import BASE, IMPATIENT
from commcheck.system.ports import held_port

if TYPE_CHECKING:
    from commcheck.replay.again import Played, Say

RANKS = 16
"""Ranks of which a recording is played if nobody says how many: what a laptop bears; --world-size N starts more."""
LARGEST_DUMP = 1 << 28
"""Bytes of a file that is read as a dump; a recorder's full buffer has some megabytes."""


def bundle_of_dumps(sources: list[str], _size: int | None = None) -> Bundle:
    """The recording in some dumps, and what is to be said of it as it lies there. Raises InputError."""
    files = [f for s in sources for f in (_inside(s) if os.path.isdir(s) else [s])]
    found: dict[int, tuple[str, bytes]] = {}
    for file in files:
        data = _content(file)
        if not flight_recorder.is_dump(data):
            if file in sources:
                raise InputError(f"{file}: neither a bundle of commcheck, nor a dump of PyTorch's flight recorder")
            continue
        rank = flight_recorder.parse(file, data).rank
        # Pickles come after JSON in no order that could be relied on: the newer file of a rank counts.
        if rank not in found or os.path.getmtime(file) >= os.path.getmtime(found[rank][0]):
            found[rank] = (file, data)
    if not found:
        raise InputError(f"{sources[0]}: holds no dump of PyTorch's flight recorder, and no ranks' reports")
    whole = script(tape(name, data) for name, data in found.values())
    case = case_of(tuple(flight_recorder.parse(name, data) for name, data in found.values()))
    report = build.report(case, judge(case), command=("commcheck", "diagnose", *sources), seconds=0.0)
    size = len(whole.parts)
    plan = Plan(size=size, backend="gloo", ranks=(), workload=RECORDED, given=encode(whole))
    return bundle_of(plan, case, report, origin="recording")


def _inside(directory: str) -> list[str]:
    return sorted(e.path for e in os.scandir(directory) if e.is_file() and not e.name.startswith("."))


def _content(file: str) -> bytes:
    try:
        if os.path.getsize(file) > LARGEST_DUMP:
            raise InputError(f"{file}: has more than {LARGEST_DUMP >> 20} MiB: no recorder's dump has")
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error


def play(bundle: Bundle, size: int | None, *, command: tuple[str, ...], say: Say) -> tuple[Played, Report, list[str]]:
    """Play it. Also: the recorded report with the ranks' numbers of now, and what is to be said about the playing."""
    from commcheck.replay.again import Played

    whole = recording(bundle.plan)
    many = len(whole.parts)
    if size is not None and size > many:
        raise UsageError(f"--world-size {size}: the recording has {many} ranks, and no others can be made up")
    kept = _kept(bundle.case, whole, size or min(many, RANKS))
    played = folded(whole, kept)
    say(f"playing {sum(len(p.calls) for p in played.parts)} calls on {len(kept)} of {many} ranks")
    begin = time.monotonic()
    with ExitStack() as stack:
        plan = local_plan(
            size=len(kept), base=BASE | IMPATIENT, master_addr="127.0.0.1", master_port=stack.enter_context(held_port()),
            workload=RECORDED,
        )  # fmt: skip
        plan = replace(plan, given=encode(played))
        launcher = stack.enter_context(Launcher(plan.base_environment, workload=RECORDED))
        launcher.begin()
        facts = api.host_facts(plan)
        seen = api.observe(plan, launcher, facts, Terms(), say, decides=lambda case: decided(focused(case, played)))
    case = focused(seen, played)
    report = build.report(
        case, judge(case), command=command, seconds=time.monotonic() - begin, replay=shlex.join(command)
    )
    # What is kept is the whole recording, so that it can be played with other ranks.
    return (
        Played(plan=bundle.plan, case=case, report=report),
        _renumbered(bundle.report, kept),
        _notes(played, kept, many),
    )


def _kept(case: Case, whole: Script, size: int) -> tuple[int, ...]:
    """The ranks that are played: who differs, beside others of the group in which the trouble is; where nothing is wrong, one
    of each kind of rank that there are few of."""
    ranks = range(len(whole.parts))
    found = difference(case)
    guilty = [r.name for r in (found.guilty if found is not None else behind(case))]
    if guilty:
        return chosen(ranks, guilty, size, beside=[r.name for r in case.ranks if r.collectives])
    kinds: dict[tuple[object, ...], list[int]] = {}
    for part in whole.parts:
        kinds.setdefault(tuple((c.op, c.dtype, c.size, c.label) for c in part.calls), []).append(part.rank)
    return chosen(ranks, [own[0] for own in kinds.values() if len(own) * 2 < len(ranks)], size)


def _notes(played: Script, kept: tuple[int, ...], many: int) -> list[str]:
    notes = list(played.notes)
    if len(kept) < many:
        moved = [f"{new} is {old}" for new, old in enumerate(kept) if new != old]
        which = f"; rank {', '.join(moved[:12])} of the job" if moved else ""
        notes.insert(0, f"{len(kept)} of the job's {many} ranks stand for all ({spans(kept)}){which}")
    return notes


def _renumbered(report: Report, kept: tuple[int, ...]) -> Report:
    new = {old: number for number, old in enumerate(kept)}
    diagnoses = (replace(d, ranks=tuple(new[r] for r in d.ranks if r in new)) for d in report.diagnoses)
    return replace(report, diagnoses=tuple(diagnoses))


def focused(case: Case, played: Script) -> Case:
    """The case with those calls alone that can be compared between ranks: of the group in which the trouble began.

    Which one that is, is found as it is for dumps: what the ranks have issued here is a recording too."""
    if case.origin is not Origin.WORLD:
        return case
    dumps = tuple(_dump(played, r.slot, _done(r)) for r in case.ranks)
    chosen_case = case_of(tuple(d for d in dumps if d is not None and d.calls))
    judged = {r.rank: r for r in chosen_case.ranks}
    if not any(r.phases for r in judged.values()):  # nothing stands still, and nothing differs
        return replace(case, ranks=tuple(replace(r, collectives=()) for r in case.ranks))
    ranks = []
    for rank in case.ranks:
        own = judged.get(rank.slot)
        if own is None or not own.phases:
            # It is known of this one that it issues nothing here that is compared.
            early = tuple(p for p in rank.phases if PHASES.index(p.phase) < PHASES.index(Phase.FIRST_COLLECTIVE))
            ranks.append(replace(rank, collectives=(), phases=early))
        else:
            ranks.append(replace(rank, collectives=own.collectives))
    return replace(case, ranks=tuple(ranks), not_read=(*case.not_read, *chosen_case.not_read))


def _done(rank: RankRecord) -> tuple[bool, ...]:
    """Of the calls of the recording that a rank has issued so far: whether each has come back. What it called before, to
    prove the world, is no part of the recording."""
    return tuple(c.done for c in rank.collectives if c.phase is Phase.STEADY)


def _dump(played: Script, slot: int, done: tuple[bool, ...]) -> flight_recorder.Dump | None:
    """What a recorder would have kept of a rank so far."""
    part = played.parts[slot]
    if not part.recorded:
        return None
    calls = []
    groups: dict[str, tuple[int, ...]] = {}
    for number, (call, ended) in enumerate(zip(part.calls, done, strict=False)):
        if call.op in ("send", "recv"):
            continue
        members = tuple(range(len(played.parts))) if call.group == WORLD else played.groups[call.group]
        name = call.label if call.group == WORLD else f"{call.label}/{call.group}"
        groups[name] = members
        calls.append(
            flight_recorder.Call(
                seq=call.seq, op=call.op, elements=call.elements, dtype=call.dtype, group=name, ended=ended, backend="",
                created=float(number),
            )
        )  # fmt: skip
    return flight_recorder.Dump(rank=slot, source="journal", calls=tuple(calls), groups=groups)
