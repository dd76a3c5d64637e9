"""Report directories: one file per rank, written by the rank's own commcheck, merged by whoever reads them.

Nothing is gathered over the network under test. Files of an earlier run in the same directory are left out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec.structs import replace

from commcheck.diagnose.ingest.redact import redact_all
from commcheck.errors import InputError, UsageError
from commcheck.model.case import Case, Ended, HostFacts, Origin, RankRecord, World
from commcheck.model.rankreport import RANK_SCHEMA, RankReport

SAME_RUN = 600.0
"""Seconds between the begins of two ranks of one run, at most: generous against slow starts and clocks that differ,
short against tomorrow's run in the same directory. What was repeated sooner is told by who had ended when (`current`)."""
SILENCE = 10.0
"""Seconds without a new file after which a rank that never said that it was done counts as ended: it was killed."""
ROLL_FROM = 128
"""Members of a world from which rank 0 alone lists them: a list by each would make the directory grow with their square."""
_PATTERN = "rank-*.json"


class Writer:
    """Writes one rank's file, again and again under the same name; each time complete or not at all."""

    def __init__(self, directory: str, rank: int | str) -> None:
        """Raises UsageError when the directory cannot be made or written."""
        self.directory = check_directory(directory)
        number = "".join(c if c.isalnum() or c == "-" else "_" for c in str(rank)[:20])  # RANK may be anything
        self.path = self.directory / f"rank-{number}-{socket.gethostname()}-{os.getpid()}.json"
        self.begun = time.time()
        self.failed = ""

    def report(self, case: Case, *, done: bool, record: RankRecord | None = None) -> RankReport:
        """What this rank knows: the first (or the given) rank of `case`."""
        return report_of(case, self.begun, done=done, record=record)

    def write(self, case: Case, *, done: bool, record: RankRecord | None = None) -> None:
        """Write it. A directory that has gone full is said in `failed`, not raised: the verdict must not be lost for it."""
        data = msgspec.json.format(encoded(self.report(case, done=done, record=record)), indent=1)
        temporary = self.path.with_suffix(".writing")
        try:
            temporary.write_bytes(data + b"\n")
            temporary.replace(self.path)
            self.failed = ""
        except OSError as e:
            self.failed = f"--report-dir {self.directory}: not written: {e.strerror}"
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def report_of(case: Case, begun: float, *, done: bool, record: RankRecord | None = None) -> RankReport:
    """What one rank knows now: the first (or the given) rank of `case`."""
    rank = record or case.ranks[0]
    return RankReport(
        schema=RANK_SCHEMA,
        world=case.world or World(size=1, backend=""),
        host=case.host(rank.host) or HostFacts(host=rank.host),
        rank=rank,
        done=done,
        ended=case.ended,
        seconds=case.seconds,
        begun=begun,
        written=time.time(),
        not_read=case.not_read,
    )


def encoded(report: RankReport) -> bytes:
    """A report as it leaves this process: without secrets, and in a large world without the list that rank 0 gives."""
    return msgspec.json.encode(redact_all(msgspec.to_builtins(_with_roll(report))))


def roll_of(members: tuple[tuple[int, int], ...]) -> str:
    """What stands for a list of members."""
    return hashlib.sha256(msgspec.json.encode(members)).hexdigest()


def _with_roll(report: RankReport) -> RankReport:
    if report.rank.rank == 0 or len(report.rank.members) < ROLL_FROM:
        return report
    return replace(report, rank=replace(report.rank, members=()), roll=roll_of(report.rank.members))


def _called(reports: tuple[RankReport, ...]) -> tuple[RankReport, ...]:
    """Reports with their members again, where one of them lists them: all share the one list. Where none does (rank 0 has
    left no report, or has met others), a rank has no proof of whom it met."""
    known: dict[str, tuple[tuple[int, int], ...]] = {}
    for members in {id(r.rank.members): r.rank.members for r in reports if r.rank.members}.values():
        known.setdefault(roll_of(members), members)
    return tuple(
        replace(r, rank=replace(r.rank, members=known[r.roll]), roll="") if r.roll in known else r for r in reports
    )


def check_directory(directory: str) -> Path:
    """Make a report directory where there is none. Raises UsageError when it cannot be made or written."""
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK):
            raise PermissionError(13, os.strerror(13))
    except OSError as e:
        raise UsageError(f"--report-dir {directory}: {e.strerror}") from e
    return Path(directory)


def write_world(directory: str, case: Case) -> str:
    """Leave every rank of a world that commcheck started, as if each had written its own file. Returns what failed."""
    failed = ""
    for rank in case.ranks:
        writer = Writer(directory, rank.name)
        writer.path = writer.directory / f"rank-{rank.name}-{socket.gethostname()}-{rank.pid or rank.slot}.json"
        writer.write(case, done=True, record=rank)
        failed = failed or writer.failed
    return failed


def read(path: Path) -> RankReport:
    """One file. Raises InputError that names the file and the remedy."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"{path}: {e.strerror}") from e
    try:
        head = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise InputError(f"{path}: not a rank's report ({e}); remove the file, or run the preflight again") from e
    schema = head.get("schema") if isinstance(head, dict) else None
    if schema != RANK_SCHEMA:
        advice = "read it with the commcheck that wrote it, or run the preflight again"
        raise InputError(f"{path}: field schema is {schema!r}, this commcheck reads {RANK_SCHEMA!r}; {advice}")
    try:
        return msgspec.convert(head, RankReport)
    except msgspec.ValidationError as e:
        raise InputError(f"{path}: {e}; run the preflight again") from e


def read_all(directory: Path) -> tuple[tuple[RankReport, ...], int]:
    """All reports of the newest run in a directory, and how many files of earlier runs were left out.

    Raises InputError for a directory without any, or with a file that cannot be read."""
    paths = sorted(directory.glob(_PATTERN))
    if not paths:
        raise InputError(f"{directory}: no rank reports ({_PATTERN}) in it; give the directory of --report-dir")
    found = [read(p) for p in paths]
    newest = max(r.begun for r in found)
    now = current(tuple(r for r in found if newest - r.begun <= SAME_RUN))
    return now, len(found) - len(now)


def current(found: tuple[RankReport, ...]) -> tuple[RankReport, ...]:
    """The reports of the last run, where the same ranks were started again soon after.

    A rank that had ended before another process of its number began was not its duplicate but its predecessor. Between
    the two lies the gap between their runs, and every rank that had begun before it and ended in it is of the earlier."""
    by_rank: dict[int | str, list[RankReport]] = {}
    for r in sorted(found, key=lambda r: r.begun):
        by_rank.setdefault(r.rank.host if r.rank.rank is None else r.rank.rank, []).append(r)
    gaps = [
        (_ended_at(before), after.begun)
        for there in by_rank.values()
        for before, after in pairwise(there)
        if _ended_at(before) <= after.begun
    ]
    return tuple(
        r for r in found if not any(r.begun < ended <= begun and _ended_at(r) <= begun for ended, begun in gaps)
    )


def _ended_at(report: RankReport) -> float:
    at = report.written or report.begun + report.seconds
    return at if report.done else at + SILENCE


def load_case(directory: Path) -> Case:
    """All ranks' views, merged into one case. Raises InputError."""
    reports, old = read_all(directory)
    case = merged(reports, complete=True)
    if old:
        note = f"{old} report(s) of an earlier run in {directory} were left out"
        case = replace(case, not_read=(*case.not_read, note))
    return case


def merged(reports: tuple[RankReport, ...], *, complete: bool) -> Case:
    """One case from several ranks' views. Slots are given by rank, then by host and pid."""
    ordered = sorted(_told_apart(_called(reports)), key=lambda r: (r.rank.name, r.rank.host, r.rank.pid or 0))
    hosts: dict[str, HostFacts] = {}
    for r in ordered:
        hosts.setdefault(r.host.host, r.host)
        if r.host.listeners:
            known = hosts[r.host.host]
            hosts[r.host.host] = replace(known, listeners=(*known.listeners, *r.host.listeners))
    return Case(
        origin=Origin.JOINED,
        world=_world(tuple(r.world for r in ordered)),
        hosts=tuple(hosts.values()),
        ranks=tuple(replace(r.rank, slot=slot) for slot, r in enumerate(ordered)),
        complete=complete,
        ended=_ended([r.ended for r in ordered]),
        seconds=max(r.seconds for r in ordered),
        not_read=tuple(dict.fromkeys(n for r in ordered for n in r.not_read)),
    )


def _told_apart(reports: tuple[RankReport, ...]) -> tuple[RankReport, ...]:
    """Hosts that bear one name (containers, cloned images, `ip netns exec`) get names that differ: each is known by an
    address that the others of that name lack, or else by a number."""
    by_name: dict[str, dict[str, HostFacts]] = {}
    for r in reports:
        by_name.setdefault(r.host.host, {}).setdefault(r.host.identity, r.host)
    names: dict[tuple[str, str], str] = {}
    for name, found in by_name.items():
        held = {identity: _addresses(facts) for identity, facts in found.items()}
        for number, identity in enumerate(sorted(found), 1):
            others = {a for other, theirs in held.items() if other != identity for a in theirs}
            own = [a for a in held[identity] if a not in others]
            names[name, identity] = name if len(found) == 1 else f"{name}({own[0] if own else number})"
    return tuple(
        replace(r, host=replace(r.host, host=name), rank=replace(r.rank, host=name))
        for r in reports
        for name in (names[r.host.host, r.host.identity],)
    )


def _addresses(facts: HostFacts) -> tuple[str, ...]:
    """A host's own addresses, IPv4 first, those left out that every host has."""
    own = [a for i in facts.interfaces if not i.loopback for a in i.addresses if not a.address.startswith("fe80")]
    return tuple(a.address for a in sorted(own, key=lambda a: a.family))


def _world(worlds: tuple[World, ...]) -> World:
    """What most ranks believe in; rank 0's view of the rest."""
    sizes = [w.size for w in worlds]
    return replace(worlds[0], size=max(sorted(set(sizes)), key=sizes.count))


def _ended(ends: list[Ended]) -> Ended:
    """The worst of the ranks' ends."""
    for worst in (Ended.FAILED, Ended.STALLED, Ended.DEADLINE, Ended.INTERRUPTED, Ended.NOT_RUN):
        if worst in ends:
            return worst
    return Ended.FINISHED
