"""The safe region as a picture (SVG): every setting against every other. Pure."""

from __future__ import annotations

from html import escape

from commcheck.explore.findings import Exploration
from commcheck.explore.region import FAILS, WORKS

CELL = 9
LABELS = 190
RIGHT, WRONG, OPEN, GRID, INK = "#2a7a4b", "#c0392b", "#f3f3f3", "#ffffff", "#222222"
"""The colours of the scoreboard's picture."""
FILLS = {WORKS: RIGHT, FAILS: WRONG}
WORDS = {WORKS: "seen to work", FAILS: "fails"}


def svg(done: Exploration) -> str:
    """Rows and columns: the settings, by parameter. Green was seen to work together, red fails, grey was not tried."""
    names = [f"{p}={c}" for p, choices in done.parameters.items() for c in choices]
    groups = [n for n, choices in enumerate(done.parameters.values()) for _ in choices]
    side = CELL * len(names)
    width, top = LABELS + side + 20, LABELS + 30
    caption = _caption(done)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + side + 20}"'
            f' viewBox="0 0 {width} {top + side + 20}" font-family="sans-serif" font-size="8" fill="{INK}" role="img">'
        ),
        f"<title>{escape(caption)}</title>",
        f'<rect width="{width}" height="{top + side + 20}" fill="white"/>',
        f'<text x="10" y="18" font-size="12">{escape(caption)}</text>',
    ]
    for number, name in enumerate(names):
        at = CELL * number + CELL - 2
        x, y, short = LABELS + at, top + at, escape(name[:40])
        parts.append(f'<text x="{x}" y="{top - 4}" transform="rotate(-70 {x} {top - 4})">{short}</text>')
        parts.append(f'<text x="{LABELS - 4}" y="{y}" text-anchor="end">{short}</text>')
    for row, letters in enumerate(done.pairs):
        parts += _row(row, letters, groups, names, top)
    return "\n".join([*parts, "</svg>", ""])


def _row(row: int, letters: str, groups: list[int], names: list[str], top: int) -> list[str]:
    made = []
    for column, letter in enumerate(letters):
        if groups[row] == groups[column] and row != column:
            continue  # two choices of one parameter never meet
        text = f"{names[row]} with {names[column]}: {WORDS.get(letter, 'not tried')}"
        made.append(
            f'<rect x="{LABELS + CELL * column}" y="{top + CELL * row}" width="{CELL}" height="{CELL}"'
            f' fill="{FILLS.get(letter, OPEN)}" stroke="{GRID}" stroke-width="0.5"><title>{escape(text)}</title></rect>'
        )
    return made


def _caption(done: Exploration) -> str:
    count = sum(len(g.findings) for g in done.groups)
    return f"{count} findings in {done.worlds} worlds; {100 * done.coverage.decided:.0f} % of the combinations decided"
