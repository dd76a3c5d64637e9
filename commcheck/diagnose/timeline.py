"""What happened when, and on which rank first, by the lines of a log that tell of a failure.

Lines that differ in digits alone are one moment of several ranks. Their order is that of their clocks, or, in one file
whose lines do not all have one, that of the file; of lines without a clock in different files none is claimed.

What may not be here: judgement about causes; a moment only says which diagnosis its line stands under.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from commcheck.diagnose import scan
from commcheck.diagnose.prefilter import shape_of
from commcheck.diagnose.raising import ENDED_BY_LAUNCHER
from commcheck.model.case import Case, LogLine, Origin
from commcheck.model.diagnosis import Diagnosis, EvidenceKind, Moment, Role

_MOST = 12  # moments of a report
_TEXT = 400  # of a moment's text
_DAY = 86_400.0


class _Placed(NamedTuple):
    """A line, with the time that it was written at or after (seconds of its day), and whether that is its own clock."""

    line: LogLine
    seconds: float | None
    own: bool


def timeline(case: Case, diagnoses: Sequence[Diagnosis]) -> tuple[Moment, ...]:
    """The moments of a failed job, the earliest first; those of unknown time last, in the order of their files."""
    if case.origin is not Origin.LOG:
        return ()
    cited = {
        (e.source, e.line): diagnosis
        for diagnosis in reversed(diagnoses)
        for e in diagnosis.evidence
        if e.kind is EvidenceKind.LOG and e.line is not None
    }
    of_shape: dict[bytes, Diagnosis] = {}
    for line in case.lines:
        if (diagnosis := cited.get((line.source, line.number))) is not None:
            of_shape.setdefault(shape_of(line.text), diagnosis)
    told = [p for p in _placed(case.lines) if shape_of(p.line.text) in of_shape or _tells(p.line.text)]
    groups: dict[bytes, list[_Placed]] = {}
    for placed in told:
        groups.setdefault(shape_of(placed.line.text), []).append(placed)
    order = _Order(told)
    ordered = sorted(groups.items(), key=lambda item: min(map(order, item[1])))
    return tuple(_moment(placed, of_shape.get(key), order) for key, placed in _chosen(ordered, of_shape))


def first_rank(moments: Sequence[Moment]) -> Moment | None:
    """The moment of the first rank that failed by itself; None where its rank is not known, or no order. What only
    follows from another failure may well be printed before it."""
    leading = [m for m in moments if m.role is not Role.CONSEQUENCE] or list(moments)
    unordered = len({m.source for m in leading}) > 1 and any(m.seconds is None for m in leading)
    return leading[0] if leading and leading[0].ranks and not unordered else None


def _tells(text: str) -> bool:
    """Whether a line tells of an end by itself. The head of a traceback only says that one follows; that the launcher ended
    a rank after another had failed is no news."""
    quiet = text.lstrip().startswith("Traceback (most recent call last)") or ENDED_BY_LAUNCHER in text
    return not quiet and scan.is_fatal(text)


def _placed(lines: Iterable[LogLine]) -> list[_Placed]:
    """Each line with its own time, or with that of the last line before it of the same file and rank."""
    last: dict[tuple[str, int | None], float] = {}
    found = []
    for line in lines:
        key = (line.source, line.rank)
        if line.seconds is not None:
            last[key] = line.seconds
        found.append(_Placed(line, last.get(key), line.seconds is not None))
    return found


class _Order:
    """What lines are sorted by. A job that runs past midnight begins with the late hours of the day before."""

    def __init__(self, lines: Sequence[_Placed]) -> None:
        times = sorted(p.seconds for p in lines if p.seconds is not None)
        gaps = [(b - a, b) for a, b in pairwise(times)]
        widest, after = max(gaps, default=(0.0, 0.0))
        self._begin = after if widest > _DAY / 2 else 0.0
        self._by_file = len({p.line.source for p in lines}) == 1 and not all(p.own for p in lines)

    def __call__(self, placed: _Placed) -> tuple[bool, float, str, int]:
        seconds = placed.seconds
        if self._by_file:
            return False, 0.0, "", placed.line.number
        if seconds is None:
            return True, 0.0, placed.line.source, placed.line.number
        late = seconds + (_DAY if seconds < self._begin else 0.0)
        return False, late, placed.line.source, placed.line.number


def _chosen(
    groups: Sequence[tuple[bytes, list[_Placed]]], of_shape: dict[bytes, Diagnosis]
) -> list[tuple[bytes, list[_Placed]]]:
    """The groups that a report has room for: those that stand under a diagnosis, then the earliest others."""
    ranked = sorted(range(len(groups)), key=lambda n: (groups[n][0] not in of_shape, n))
    return [groups[n] for n in sorted(ranked[:_MOST])]


def _moment(placed: Sequence[_Placed], diagnosis: Diagnosis | None, order: _Order) -> Moment:
    first = min(placed, key=order)
    return Moment(
        seconds=first.seconds,
        exact=first.own,
        ranks=tuple(sorted({p.line.rank for p in placed if p.line.rank is not None})),
        hosts=tuple(dict.fromkeys(p.line.host for p in placed if p.line.host)),
        text=first.line.text[:_TEXT],
        source=first.line.source,
        line=first.line.number,
        cause=diagnosis.cause if diagnosis is not None else "",
        role=diagnosis.role if diagnosis is not None else None,
    )
