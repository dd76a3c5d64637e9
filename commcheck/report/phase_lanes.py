"""The phases of each rank on a common time-line. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median_low

from commcheck.model.base import Value, ranks_text
from commcheck.model.diagnosis import RankPhase
from commcheck.model.phase import PHASES, PhaseStatus
from commcheck.report.lanes import Chart, Column, Kind
from commcheck.report.phases import status_words

LATE = 0.1
"""Seconds after the usual rank from which one is late: less is a busy machine's doing."""
SPREADS = 4.0
"""How much farther from the middle than three quarters of the ranks: the last of many that come one by one is not late."""
NAMED = 12
"""Ranks that are named."""
KINDS = tuple(
    Kind(name=phase.value, colour=colour)
    for phase, colour in zip(
        PHASES,
        (
            (140, 150, 164), (0, 114, 178), (86, 180, 233), (0, 158, 115), (201, 187, 31), (230, 159, 0),
            (204, 121, 167), (125, 107, 181),
        ),
        strict=True,
    )
)  # fmt: skip
_KIND = {kind.name: number for number, kind in enumerate(KINDS)}


class Late(Value, frozen=True):
    """Who came last to some phases, and how long after the usual rank at most."""

    phases: tuple[str, ...]
    who: str
    seconds: float


def chart(rows: tuple[RankPhase, ...], end: float) -> Chart | None:
    """The time-line of the rows of a report; None where they have no times. `end`: when the world had ended."""
    timed = [r for r in rows if r.begin is not None and r.phase in _KIND]
    if not timed:
        return None
    slots = sorted({(r.rank, r.slot) for r in timed})
    place = {slot: n for n, slot in enumerate(slots)}
    shared = len({rank for rank, _ in slots}) < len(slots)
    last = max(end, *(_end(r, 0.0) for r in timed))
    return Chart(
        what="rank",
        names=tuple(f"rank {rank}, process {slot}" if shared else f"rank {rank}" for rank, slot in slots),
        kinds=KINDS,
        columns=tuple(_column(p.value, [r for r in timed if r.phase == p.value], place, last) for p in PHASES),
        end=last,
    )


def late(made: Chart) -> tuple[Late, ...]:
    """Of the phases to which some came late: who came last."""
    found: dict[str, Late] = {}
    for column in made.columns:
        if column.late:
            begins = [b for b in column.begins if b is not None]
            numbers = sorted(int(made.names[n].removeprefix("rank ").partition(",")[0]) for n in column.late)
            more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
            who = f"{ranks_text(tuple(numbers[:NAMED]))}{more}"
            lag = max(begins) - median_low(begins)
            before = found.get(who, Late(phases=(), who=who, seconds=0.0))
            found[who] = Late(phases=(*before.phases, column.name), who=who, seconds=max(before.seconds, lag))
    return tuple(found.values())


def _end(row: RankPhase, last: float) -> float:
    """Who has not come out of a phase was in it until the end."""
    begin = row.begin or 0.0
    return max(begin, last) if row.status == PhaseStatus.RUNNING else begin + row.seconds


def _column(name: str, rows: Iterable[RankPhase], place: dict[tuple[int, int], int], last: float) -> Column:
    begins: list[float | None] = [None] * len(place)
    seconds: list[float | None] = [None] * len(place)
    bad: dict[int, str] = {}
    still: set[int] = set()
    for row in rows:
        lane = place[row.rank, row.slot]
        begins[lane] = row.begin
        seconds[lane] = _end(row, last) - (row.begin or 0.0)
        if row.status == PhaseStatus.RUNNING:
            still.add(lane)
        elif row.status != PhaseStatus.OK:
            bad[lane] = status_words(row.status)
    return Column(
        name=name,
        kind=_KIND[name],
        begins=begins,
        seconds=seconds,
        late=_late(begins),
        bad=bad,
        unfinished=frozenset(still),
    )


def _late(begins: list[float | None]) -> frozenset[int]:
    """Those who came as late as the last, about."""
    known = sorted(b for b in begins if b is not None)
    if len(known) < 2:
        return frozenset()
    usual, last = median_low(known), known[-1]
    if last - usual < max(LATE, SPREADS * (known[3 * (len(known) - 1) // 4] - usual)):
        return frozenset()
    return frozenset(n for n, b in enumerate(begins) if b is not None and b - usual > (last - usual) / 2)
