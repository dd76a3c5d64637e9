"""The confusion matrix as a picture (SVG): what was wrong against what was said. Pure."""

from __future__ import annotations

from html import escape

from commcheck.scenarios.score import Board

CELL = 16
LABELS = 210
RIGHT, WRONG, GRID, INK = "#2a7a4b", "#c0392b", "#e4e4e4", "#222222"


def svg(board: Board) -> str:
    """Rows: what was wrong; columns: what was said. Right answers lie on the diagonal."""
    rows = list(board.confusion)
    columns = [*rows, *sorted({s for said in board.confusion.values() for s in said} - set(rows))]
    width, height = LABELS + CELL * len(columns) + 20, LABELS + CELL * len(rows) + 60
    top = LABELS + 30
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
            f' font-family="sans-serif" font-size="11" fill="{INK}" role="img">'
        ),
        f"<title>{escape(_caption(board))}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="18" font-size="13">{escape(_caption(board))}</text>',
    ]
    for number, name in enumerate(columns):
        x = LABELS + CELL * number + CELL - 4
        parts.append(f'<text x="{x}" y="{top - 6}" transform="rotate(-60 {x} {top - 6})">{escape(name)}</text>')
    for number, name in enumerate(rows):
        y = top + CELL * number
        parts.append(f'<text x="{LABELS - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        for at, said in enumerate(columns):
            x, count = LABELS + CELL * at, board.confusion[name].get(said, 0)
            fill = (RIGHT if said == name else WRONG) if count else "none"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{fill}" stroke="{GRID}">'
                f"<title>{escape(name)} called {escape(said)}: {count}</title></rect>"
            )
            if count:
                parts.append(f'<text x="{x + 8}" y="{y + 12}" text-anchor="middle" fill="white">{count}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _caption(board: Board) -> str:
    s = board.sum
    faulty = s.scenarios - s.healthy
    return f"{s.cause_at_1} of {faulty} causes right, {s.false_alarms} false alarms in {s.healthy} healthy worlds"
