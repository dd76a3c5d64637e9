"""A cluster's report beside earlier ones: what got worse or better, beyond what differs from run to run anyway.

Reading a directory is the one effect here; all else is computed from reports. Which numbers moved: `commcheck.cluster.moved`.
What moved everywhere alike is said once, of all."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from commcheck.cluster import summary
from commcheck.cluster.heat import Matrix, figure
from commcheck.cluster.moved import changed, changed_links, noise_of_few, of_hosts, restless
from commcheck.errors import InputError
from commcheck.model.base import Value, listed
from commcheck.model.case import HostFacts
from commcheck.model.cluster import SCHEMA, ClusterReport, Drift, Reach
from commcheck.report.clean import one_line

_LINKS_SHOWN = 100


class Change(Value, frozen=True):
    """One thing that is not as it was. `kind`: worse, better, changed, new, gone. `where`: hosts, or `a -> b`."""

    kind: str
    what: str
    where: str
    before: str
    now: str


class Comparison(Value, frozen=True):
    """`since`: what was compared with. `worse` says whether anything is."""

    since: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def worse(self) -> bool:
        """Something got worse."""
        return any(c.kind == "worse" for c in self.changes)


class Row(NamedTuple):
    """A change as every renderer shows it; `kind` is a class of the page's style."""

    kind: str
    word: str
    what: str
    before: str
    now: str


_STYLE = {"worse": "unhealthy", "better": "healthy", "gone": "inconclusive"}


def rows(comparison: Comparison) -> list[Row]:
    """The changes, for a table."""
    return [
        Row(_STYLE.get(c.kind, "soft"), c.kind, f"{c.what}: {c.where}" if c.where else c.what, c.before, c.now)
        for c in comparison.changes
    ]


def text_lines(comparison: Comparison, most: int = 20) -> list[tuple[str, str]]:
    """Label and text of each line."""
    lines = []
    for row in rows(comparison)[:most]:
        was = f"{row.before} -> {row.now}" if row.before and row.now else row.before or row.now
        lines.append((row.word, one_line(f"{row.what}{f', {was}' if was else ''}")))
    if len(comparison.changes) > most:
        lines.append(("", f"and {len(comparison.changes) - most} more (--format json shows all)"))
    if not lines:
        lines.append(("since", f"nothing has changed since {one_line(comparison.since)}"))
    return lines


# --- reading -----------------------------------------------------------------------------------------------------------


def file_name(report: ClusterReport) -> str:
    """What a report is called in a directory of reports: sorted by name is sorted by time."""
    import time

    return time.strftime("cluster-%Y%m%dT%H%M%SZ.json", time.gmtime(report.begun))


def read(path: str) -> ClusterReport:
    """One report. Raises InputError that says what to do."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}: give a report of commcheck cluster --format json"
        ) from error
    try:
        head = msgspec.json.decode(data)
        schema = head.get("schema") if isinstance(head, dict) else None
        if schema != SCHEMA:
            raise InputError(
                f"{path}: its schema is {schema!r}, not {SCHEMA!r}: give a report of commcheck cluster --format json"
            )
        return msgspec.convert(head, ClusterReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no whole report of commcheck cluster ({error}): copy it again") from error


def load(directory: str) -> tuple[ClusterReport, ...]:
    """All reports in a directory, the oldest first; other files are left alone. Raises InputError."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    except OSError as error:
        raise InputError(f"{directory}: {error.strerror or error}: give a directory of cluster reports") from error
    mark = SCHEMA.encode()
    found = []
    for name in names:
        path = os.path.join(directory, name)
        if _holds(path, mark):
            found.append(read(path))
    return tuple(sorted(found, key=lambda r: r.begun))


def _holds(path: str, mark: bytes) -> bool:
    """The schema is the last field of a report and stands near its end, or at its beginning where another tool sorted it."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            return mark in head or mark in file.read()
    except OSError:
        return False


# --- comparing ---------------------------------------------------------------------------------------------------------


def compare(old: Sequence[ClusterReport], new: ClusterReport, since: str = "") -> Comparison:
    """What differs between the earlier reports, the oldest first, and the new one. Of none, nothing is said."""
    if not old:
        return Comparison(since=since, changes=(), notes=("there is no earlier report to compare with",))
    last = old[-1]
    changes = [
        *_hosts(last, new),
        *_causes(last, new),
        *_reach(old, new),
        *_numbers(old, new),
        *(_drifted(d) for d in against(last, new)),
    ]
    order = {"worse": 0, "gone": 1, "changed": 2, "new": 3, "better": 4}
    notes: tuple[str, ...] = ()
    if len(old) == 1:
        notes = ("one earlier report shows no run-to-run noise of its own: it was taken from how the links differ",)
    return Comparison(
        since=since or "the last report",
        changes=tuple(sorted(changes, key=lambda c: order[c.kind])),
        notes=notes,
    )


def _hosts(last: ClusterReport, new: ClusterReport) -> Iterator[Change]:
    before, now = ({h.name: h for h in r.hosts} for r in (last, new))
    gone = [name for name in before if name not in now]
    fresh = [name for name in now if name not in before]
    if gone:
        yield Change(kind="gone", what="hosts", where=listed(gone, 20), before=str(len(before)), now=str(len(now)))
    if fresh:
        yield Change(kind="new", what="hosts", where=listed(fresh, 20), before=str(len(before)), now=str(len(now)))
    for word, one, other in (("worse", now, before), ("better", before, now)):
        silent = [n for n, h in one.items() if h.said_nothing and n in other and not other[n].said_nothing]
        if silent:
            was, is_ = ("spoke", "said nothing") if word == "worse" else ("said nothing", "speaks")
            yield Change(kind=word, what="hosts", where=listed(silent, 20), before=was, now=is_)


def _causes(last: ClusterReport, new: ClusterReport) -> Iterator[Change]:
    before, now = ({(d.cause, d.hosts): d for d in summary.roots(r)} for r in (last, new))
    for word, one, other in (("worse", now, before), ("better", before, now)):
        for key, d in one.items():
            if key not in other:
                was, is_ = ("", "found") if word == "worse" else ("found", "no more")
                where = listed((*d.hosts, *(f"{k.source} -> {k.target}" for k in d.links)))
                yield Change(kind=word, what=d.cause, where=where, before=was, now=is_)


_NO_FAULT = frozenset((Reach.OK.value, Reach.ITSELF.value, Reach.NOT_TRIED.value))


def _reach(old: Sequence[ClusterReport], new: ClusterReport) -> Iterator[Change]:
    """Directions that worked and do not, and the other way round; those that share an end and a story are one line."""
    stories: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for link, letter, before in _turned(old, new):
        failed = sum(b not in _NO_FAULT for b in before)
        seen = f" (failed in {failed} of {len(before)} earlier runs)" if failed and failed < len(before) else ""
        word = "better" if letter in _NO_FAULT else "worse"
        stories.setdefault((word, f"{_word(before[-1])}{seen}", _word(letter)), []).append(link)
    for (word, was, now), links in stories.items():
        for where in folded(links):
            yield Change(kind=word, what="reach", where=where, before=was, now=now)


def folded(links: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Links in words: the end that most of them share first, with all of these in one."""
    left = list(dict.fromkeys(links))
    while left:
        counts: Counter[tuple[int, str]] = Counter((side, link[side]) for link in left for side in (0, 1))
        (side, end), count = counts.most_common(1)[0]
        if count < _FOLD:
            yield from (f"{a} -> {b}" for a, b in left[:_LINKS_SHOWN])
            if len(left) > _LINKS_SHOWN:
                yield f"and {len(left) - _LINKS_SHOWN} more links"
            return
        others = [link[1 - side] for link in left if link[side] == end]
        yield f"{end} -> {listed(others)}" if side == 0 else f"{listed(others)} -> {end}"
        left = [link for link in left if link[side] != end]


_FOLD = 3
"""Links with one end in common from which they are one line."""


def _turned(old: Sequence[ClusterReport], new: ClusterReport) -> Iterator[tuple[tuple[str, str], str, list[str]]]:
    """The directions that are another thing now than in the last run in which they were tried: their letters then."""
    names = [h.name for h in new.hosts]
    places = [{h.name: n for n, h in enumerate(r.hosts[: len(r.reach)])} for r in old]
    for a, row in enumerate(new.reach):
        lines = [(r.reach[at], p) for r, p in zip(old, places, strict=True) if (at := p.get(names[a])) is not None]
        if all(line == row for line, _ in lines) and all([*p] == names for _, p in lines):
            continue  # nearly every row of nearly every cluster
        for b, letter in enumerate(row):
            before = [line[at] for line, p in lines if (at := p.get(names[b])) is not None and at < len(line)]
            before = [was for was in before if was != Reach.NOT_TRIED.value]
            if before and letter != Reach.NOT_TRIED.value and (before[-1] in _NO_FAULT) != (letter in _NO_FAULT):
                yield (names[a], names[b]), letter, before


def _word(letter: str) -> str:
    from commcheck.cluster.heat import REACHED

    return next((words for known, (_, words) in REACHED.items() if known == letter), letter)


# --- numbers -----------------------------------------------------------------------------------------------------------


def _numbers(old: Sequence[ClusterReport], new: ClusterReport) -> Iterator[Change]:
    for what, unit, sign, of in (
        ("latency", "us", 1.0, lambda r: r.latency_us),
        ("bandwidth", "Gbit/s", -1.0, lambda r: r.gbit),
        ("bandwidth under load", "Gbit/s", -1.0, lambda r: r.gbit_loaded),
    ):
        yield from _quantity(what, unit, sign, old, new, of)


def _quantity(
    what: str,
    unit: str,
    sign: float,
    old: Sequence[ClusterReport],
    new: ClusterReport,
    of: Callable[[ClusterReport], Matrix],
) -> Iterator[Change]:
    by_host = [of_hosts(r, of(r)) for r in (*old, new)]
    moved, shift = changed(by_host[:-1], by_host[-1], noise_of_few(old, new, of))
    if abs(shift) > restless(by_host[:-1]):
        before = median(by_host[-2].values()) if by_host[-2] else 0.0
        yield Change(
            kind="worse" if shift * sign > 0 else "better",
            what=what,
            where="all hosts",
            before=f"{figure(before)} {unit}" if before else "",
            now=f"{figure(median(by_host[-1].values()))} {unit}",
        )
    names = [h.name for h in new.hosts]
    found = [(name, *values) for name, values in moved.items()]
    found += [
        (f"{names[a]} -> {names[b]}", before, now)
        for a, b, before, now in changed_links(old, new, of, shift)
        if names[a] not in moved and names[b] not in moved
    ][:_LINKS_SHOWN]
    for where, before, now in found:
        kind = "worse" if sign * (math.log2(now / before) - shift) > 0 else "better"
        yield Change(kind=kind, what=what, where=where, before=f"{figure(before)} {unit}", now=f"{figure(now)} {unit}")


# --- facts -------------------------------------------------------------------------------------------------------------


def against(baseline: ClusterReport, new: ClusterReport) -> tuple[Drift, ...]:
    """What the hosts' facts were in the baseline and are not any more: a row per fact and value that it had."""
    before = {h.name: _facts(h.facts) for h in baseline.hosts if h.facts is not None}
    found: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for row in new.hosts:
        if row.facts is None or row.name not in before:
            continue
        now, was = _facts(row.facts), before[row.name]
        for key in sorted(now.keys() | was.keys()):
            if now.get(key) != was.get(key):
                values = found.setdefault((*key, was.get(key, "absent")), {})
                values.setdefault(now.get(key, "absent"), []).append(row.name)
    return tuple(
        Drift(
            kind=kind,
            name=name,
            values={v: tuple(hosts) for v, hosts in sorted(values.items(), key=lambda item: -len(item[1]))},
            baseline=was,
        )
        for (kind, name, was), values in sorted(found.items())
    )


def _facts(facts: HostFacts) -> dict[tuple[str, str], str]:
    """What stays the same from run to run, by kind and name."""
    found = {("kernel" if name == "kernel" else "version", name): value for name, value in facts.versions.items()}
    found |= {("mtu", i.name): str(i.mtu) for i in facts.interfaces if not i.loopback}
    found |= {("limit", n.name): "unlimited" if n.soft == -1 else str(n.soft) for n in facts.limits}
    found["name", "name servers"] = ", ".join(facts.nameservers) or "none"
    return found


def _drifted(drift: Drift) -> Change:
    hosts = [name for found in drift.values.values() for name in found]
    return Change(
        kind="changed",
        what=f"{drift.kind} {drift.name}",
        where=listed(hosts),
        before=drift.baseline,
        now=" or ".join(drift.values),
    )
