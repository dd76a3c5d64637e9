"""A matrix as a picture: numbers to colours, and a PNG with one dot per cell. Pure.

Colours say how much worse than usual a cell is, from pale blue to dark red by way of yellow: both the hue and the lightness
change, so that the order is seen without telling red from green. What lies between is read under the pointer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from commcheck.model.base import Value
from commcheck.model.cluster import Reach
from commcheck.report.png import Colour, hex_of, png

__all__ = ["Colour", "hex_of", "png"]

Matrix = Sequence[Sequence[float | None]]

NONE = 0
"""The level of a cell that was not measured."""
LEVELS = 250
"""Levels of a number, by its logarithm, after `NONE`."""
WORST = 3.0
"""Factors of two from the usual value on which the darkest colour stands."""
EMPTY: Colour = (200, 204, 210)
SCALE: tuple[Colour, ...] = (
    (214, 230, 244), (253, 236, 164), (253, 190, 92), (236, 122, 44), (189, 52, 40), (94, 12, 40),
)  # fmt: skip
REACHED: dict[Reach, tuple[Colour, str]] = {  # after Okabe and Ito
    Reach.OK: ((214, 230, 244), "reached"),
    Reach.ITSELF: ((244, 246, 248), "the host itself"),
    Reach.NOT_TRIED: (EMPTY, "not tried"),
    Reach.UNRESOLVED: ((204, 121, 167), "name: no address, or another one"),
    Reach.NO_ROUTE: ((0, 114, 178), "no route"),
    Reach.NO_NEIGHBOUR: ((86, 180, 233), "no answer to ARP"),
    Reach.DROPPED: ((20, 20, 20), "nothing came back"),
    Reach.REFUSED: ((213, 94, 0), "refused"),
    Reach.SOME_PORTS: ((230, 159, 0), "some ports only"),
    Reach.SMALL_ONLY: ((240, 228, 66), "small packets only"),
    Reach.WRONG_VALUES: ((0, 158, 115), "wrong values"),
}
LETTERS: dict[str, int] = {letter.value: number for number, letter in enumerate(REACHED)}
"""The level of each letter."""


class Heat(Value, frozen=True):
    """A drawn matrix. `rows`: a level per cell. A level's value is `low * step ** (level - 1)`. `swatches`: colours and what
    they stand for; `worst`: how far from usual the worst cell is."""

    rows: tuple[bytes, ...]
    palette: tuple[Colour, ...]
    low: float
    step: float
    usual: float
    swatches: tuple[tuple[Colour, str], ...]
    measured: int


def numbers(matrix: Matrix, *, more_is_worse: bool, unit: str) -> Heat | None:
    """A matrix of positive numbers; None where nothing was measured."""
    known = usable(matrix)
    if not known:
        return None
    low, high, usual = min(known), max(known), median(known)
    step = (high / low) ** (1 / (LEVELS - 1)) if high > low else 2.0
    scale = 1 / math.log(step)
    log, base = math.log, math.log(low)
    rows = tuple(
        bytes(
            [
                1 + min(LEVELS - 1, round((log(v) - base) * scale))
                if v is not None and SMALLEST < v < LARGEST
                else NONE
                for v in row
            ]
        )
        for row in matrix
    )
    sign = 1.0 if more_is_worse else -1.0
    levels = range(LEVELS)
    palette = (EMPTY, *(colour(sign * math.log2(low * step**level / usual)) for level in levels))
    return Heat(
        rows=rows,
        palette=palette,
        low=low,
        step=step,
        usual=usual,
        swatches=_swatches(usual, sign, unit),
        measured=len(known),
    )


def usable(matrix: Matrix) -> list[float]:
    """The measured values that can be some. Written for speed: a thousand hosts have a million."""
    return [v for row in matrix for v in row if v is not None and SMALLEST < v < LARGEST]


SMALLEST, LARGEST = 1e-12, 1e12
"""Beyond these no figure of a link lies, in whatever unit; a report that was edited may hold any number."""


def colour(doublings: float) -> Colour:
    """The colour of a value that is so many doublings worse than usual. Better than usual is as usual."""
    at = min(max(doublings, 0.0) / WORST, 1.0) * (len(SCALE) - 1)
    lower = min(int(at), len(SCALE) - 2)
    part = at - lower
    mixed = [round(a + (b - a) * part) for a, b in zip(SCALE[lower], SCALE[lower + 1], strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _swatches(usual: float, sign: float, unit: str) -> tuple[tuple[Colour, str], ...]:
    words = ("usual", "x2", "x4", "x8 and worse") if sign > 0 else ("usual", "half", "a quarter", "an eighth and less")
    return tuple(
        (colour(float(n)), f"{word}: {figure(usual * 2 ** (sign * n))} {unit}") for n, word in enumerate(words)
    )


def letters(rows: Sequence[str]) -> Heat:
    """The matrix of how targets were reached. What occurs is in the legend, with how often."""
    counts = {letter: sum(row.count(letter.value) for row in rows) for letter in REACHED}
    return Heat(
        rows=tuple(row.encode("latin-1", "replace").translate(_LEVELS) for row in rows),
        palette=tuple(shade for shade, _ in REACHED.values()),
        low=0.0,
        step=0.0,
        usual=0.0,
        swatches=tuple(
            (shade, f"{words}: {counts[letter]}")
            for letter, (shade, words) in REACHED.items()
            if counts[letter] and letter is not Reach.ITSELF
        ),
        measured=sum(count for letter, count in counts.items() if letter not in (Reach.ITSELF, Reach.NOT_TRIED)),
    )


_LEVELS = bytes(LETTERS.get(letter, LETTERS[Reach.NOT_TRIED]) for letter in map(chr, range(256)))
"""By a letter's number, its level."""


def figure(value: float) -> str:
    """Three digits, as a person reads them."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def ink(shade: Colour) -> str:
    """Black or white, whichever is read on it."""
    red, green, blue = (part / 255 for part in shade)
    return "#000" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18 else "#fff"
