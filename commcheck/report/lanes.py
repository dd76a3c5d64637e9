"""A time-line with a lane for each rank or host: few as lanes that open, many as a picture that is pointed at. Pure.

What each did is given column by column (a phase, a step of a run). Of a thousand lanes none has a line of the screen for
itself: a line of the picture then stands for several, and shows the one of them that is farthest from what is usual, so
that no straggler is lost."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from math import floor, log10
from statistics import median

import msgspec
from markupsafe import Markup

from commcheck.model.base import Value
from commcheck.report.clean import visible
from commcheck.report.png import Colour, hex_of, png

FEW = 32
"""Lanes up to which each is drawn by itself, and opens."""
LINES, WIDTH = 512, 1200
"""Of the picture, in dots."""
HIGH = 320
"""Dots that fewer lanes fill about: each then has several."""
MOST = 20_000
"""Lanes up to which the page holds the times of each; of more only those that the picture shows."""
TICKS = 8
WIDEST = 24
"""Letters of a lane's name that have room."""
BAD: Colour = (196, 38, 29)


class Kind(Value, frozen=True):
    """What a lane can show, by its colour."""

    name: str
    colour: Colour


class Column(Value, frozen=True):
    """What the lanes did at one point. `kind`: its place in `Chart.kinds`; `begins` and `seconds` per lane, None: nothing;
    `late`: who came or ended last, and was waited for; `bad`: by lane, what went wrong there; `unfinished`:
    who had not come out of it at the end."""

    name: str
    kind: int
    begins: Sequence[float | None]
    seconds: Sequence[float | None]
    late: frozenset[int] = frozenset()
    bad: Mapping[int, str] = {}
    unfinished: frozenset[int] = frozenset()


class Chart(Value, frozen=True):
    """Everything that is to be drawn. `what`: the name of a lane's kind ("rank", "host"); `end`: seconds at its right edge."""

    what: str
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    columns: tuple[Column, ...]
    end: float


class Span(Value, frozen=True):
    """A bar: `left` and `width` in hundredths of the whole."""

    left: float
    width: float
    kind: int
    late: bool
    bad: str
    unfinished: bool
    name: str
    begin: float
    seconds: float


class Lane(Value, frozen=True):
    """One of few."""

    number: int
    name: str
    spans: tuple[Span, ...]


class Drawn(Value, frozen=True):
    """What the template needs. `lanes` where there are few, else `image`, with `ticks` and `legend` for both. `marks`: at the
    left of the picture, in hundredths of its height, with what to say there. `json`: all times, for the script."""

    what: str
    count: int
    lanes: tuple[Lane, ...]
    image: str
    wide: int
    first: str
    last: str
    height: int
    per_line: int
    marks: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    tick: float
    colours: tuple[str, ...]
    legend: tuple[tuple[int, str], ...]
    any_late: bool
    any_bad: bool
    any_unfinished: bool
    json: Markup


def drawn(chart: Chart) -> Drawn | None:
    """The chart, ready to be shown; None where there is nothing to see."""
    if not chart.names or chart.end <= 0 or not any(_has(c) for c in chart.columns):
        return None
    count = len(chart.names)
    few = count <= FEW
    per_line = 1 if few else -(-count // LINES)
    shown = range(count) if per_line == 1 else _farthest(chart, per_line)
    used = {c.kind for c in chart.columns if _has(c)}
    step = _step(chart.end)
    return Drawn(
        what=chart.what,
        count=count,
        lanes=tuple(_lane(chart, n) for n in range(count)) if few else (),
        image="" if few else base64.b64encode(_image(chart, shown)).decode(),
        wide=min(WIDEST, max(len(visible(name)) for name in chart.names)),
        first=visible(chart.names[0]),
        last=visible(chart.names[-1]),
        height=0 if few else len(shown) * _high(shown),
        per_line=per_line,
        marks=() if few else tuple(_marks(chart, shown)),
        ticks=tuple((100 * n * step / chart.end, f"{n * step:g}") for n in range(int(chart.end / step + 1e-9) + 1)),
        tick=100 * step / chart.end,
        colours=tuple(hex_of(k.colour) for k in chart.kinds),
        legend=tuple((n, k.name) for n, k in enumerate(chart.kinds) if n in used),
        any_late=any(c.late for c in chart.columns),
        any_bad=any(c.bad for c in chart.columns),
        any_unfinished=any(c.unfinished for c in chart.columns),
        json=Markup("" if few else _json(_data(chart, shown))),  # noqa: S704 (JSON in which no tag can begin)
    )


def seconds_text(value: float) -> str:
    """As a person reads them."""
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def _has(column: Column) -> bool:
    return any(s is not None for s in column.seconds)


def _spans(chart: Chart, lane: int) -> Iterator[tuple[Column, float, float]]:
    """What one lane shows: the column, begin and end."""
    for column in chart.columns:
        begin, seconds = column.begins[lane], column.seconds[lane]
        if begin is not None and seconds is not None:
            yield column, begin, begin + seconds


def _lane(chart: Chart, number: int) -> Lane:
    def span(column: Column, begin: float, end: float) -> Span:
        left = 100 * min(begin / chart.end, 1)
        return Span(
            left=round(left, 3),
            width=round(max(0.0, 100 * min(end / chart.end, 1) - left), 3),
            kind=column.kind,
            late=number in column.late,
            bad=column.bad.get(number, ""),
            unfinished=number in column.unfinished,
            name=column.name,
            begin=begin,
            seconds=end - begin,
        )

    return Lane(number=number, name=visible(chart.names[number]), spans=tuple(span(*s) for s in _spans(chart, number)))


def _farthest(chart: Chart, per_line: int) -> list[int]:
    """Of each line's lanes the one that is farthest from what is usual."""
    count = len(chart.names)
    far = [0.0] * count
    for column in chart.columns:
        ends = [
            (n, b + s)
            for n, (b, s) in enumerate(zip(column.begins, column.seconds, strict=True))
            if b is not None and s is not None
        ]
        usual = median(e for _, e in ends) if ends else 0.0
        for lane, end in ends:
            far[lane] = max(far[lane], abs(end - usual))
        for lane in column.bad:
            far[lane] = max(far[lane], 2 * chart.end)
        for lane in column.late:  # of those that are as far, the one that the others waited for
            far[lane] += 1e-3
    return [max(range(at, min(at + per_line, count)), key=far.__getitem__) for at in range(0, count, per_line)]


def _image(chart: Chart, shown: Sequence[int]) -> bytes:
    """A line for each of `shown`, 0 where nothing was done, then the kinds, then what is bad."""
    rows = []
    for lane in shown:
        row = bytearray(WIDTH)
        for column, begin, end in _spans(chart, lane):
            left = min(floor(begin / chart.end * WIDTH), WIDTH - 1)
            right = max(left + 1, min(round(end / chart.end * WIDTH), WIDTH))
            level = len(chart.kinds) + 1 if lane in column.bad else column.kind + 1
            dots = bytes([level]) * (right - left)
            if lane in column.unfinished:
                dots = bytes(level if at % 6 < 4 else 0 for at in range(left, right))
            row[left:right] = dots
        rows += [bytes(row)] * _high(shown)
    return png(rows, ((0, 0, 0), *(k.colour for k in chart.kinds), BAD), clear=True)


def _high(shown: Sequence[int]) -> int:
    """Dots of a line of the picture."""
    return max(1, HIGH // len(shown))


def _json(data: object) -> str:
    return msgspec.json.encode(data).decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _marks(chart: Chart, shown: Sequence[int]) -> Iterator[tuple[float, str]]:
    """Where something is bad, or was waited for: first the bad ones, and of a kind the most frequent."""
    bad = {lane: f"{column.name}: {text}" for column in reversed(chart.columns) for lane, text in column.bad.items()}
    late: dict[int, int] = {}
    for column in chart.columns:
        for lane in column.late:
            late[lane] = late.get(lane, 0) + 1
    per_line = -(-len(chart.names) // len(shown))
    often = sorted(late, key=lambda lane: -late[lane])[:8]
    for lane in list(dict.fromkeys((*list(bad)[:24], *often))):
        text = bad.get(lane) or f"was waited for {late[lane]} time{'' if late[lane] == 1 else 's'}"
        yield round(100 * (lane // per_line + 0.5) / len(shown), 3), visible(f"{chart.names[lane]}: {text}")


def _data(chart: Chart, shown: Sequence[int]) -> dict[str, object]:
    """Times in milliseconds, column by column. A begin is told once where it is the same for all."""
    lanes = range(len(chart.names)) if len(chart.names) <= MOST else shown
    place = {lane: n for n, lane in enumerate(lanes)}

    def thousandths(values: Sequence[float | None]) -> list[int]:
        return [-1 if values[n] is None else round(1000 * (values[n] or 0.0)) for n in lanes]

    columns = []
    for c in chart.columns:
        begins = thousandths(c.begins)
        columns.append(
            {
                "name": c.name,
                "kind": c.kind,
                "begin": begins[0] if begins and len(set(begins)) == 1 else begins,
                "took": thousandths(c.seconds),
                "late": [place[n] for n in sorted(c.late) if n in place],
                "unfinished": [place[n] for n in sorted(c.unfinished) if n in place],
                "bad": {str(place[n]): text for n, text in sorted(c.bad.items()) if n in place},
            }
        )
    return {
        "what": chart.what,
        "names": [visible(chart.names[n]) for n in lanes],
        "count": len(chart.names),
        "colours": [hex_of(k.colour) for k in chart.kinds],
        "columns": columns,
        "end": round(1000 * chart.end),
        "shown": [place[n] for n in shown],
    }


def _step(end: float) -> float:
    """Between two ticks: 1, 2 or 5 of a power of ten."""
    power = 10.0 ** floor(log10(end / TICKS))
    return next((n * power for n in (1, 2, 5, 10) if end / (n * power) <= TICKS), 20 * power)
