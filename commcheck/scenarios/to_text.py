"""The scoreboard for a terminal, and as Markdown. Pure."""

from __future__ import annotations

from commcheck.scenarios.score import Board, Outcome


def line(row: Outcome) -> str:
    """One row as it is told while the scenarios run."""
    if row.skipped:
        return f"skip  {row.name}: {row.skipped}"
    mark = "ok  " if not row.problems else "FAIL"
    return f"{mark}  {row.name}: {row.said}, {row.seconds:.1f} s" + "".join(f"; {p}" for p in row.problems)


def text(board: Board) -> str:
    """The sum, what is not as expected, and what was skipped."""
    lines = [f"{name:<34} {value}" for name, value in figures(board)]
    wrong = [r for r in board.scenarios if r.problems]
    if wrong:
        lines += ["", "Not as expected:"]
        lines += [f"  {r.name}: {'; '.join(r.problems)}" for r in wrong]
    skipped = [r for r in board.scenarios if r.skipped]
    if skipped:
        lines += ["", "Not run:"]
        lines += [f"  {r.name}: {r.skipped}" for r in skipped]
    return "\n".join(lines) + "\n"


def figures(board: Board) -> list[tuple[str, str]]:
    """The sum in words."""
    s = board.sum
    faulty = s.scenarios - s.healthy
    looking = [f for f in board.families if f.cause_at_1 < f.scenarios]
    return [
        ("scenarios run", f"{s.scenarios} ({s.healthy} healthy, {faulty} with faults); {s.skipped} skipped"),
        ("cause right at rank 1", share(s.cause_at_1, faulty)),
        ("cause right within 3", share(s.cause_in_3, faulty)),
        ("symptom right", share(s.symptom, faulty)),
        ("culprit right", share(s.culprit, faulty)),
        ("a fix verified, of the mendable", share(s.fix_verified, s.mendable)),
        ("false alarms", str(s.false_alarms)),
        ("unsure", str(s.unknown)),
        ("seconds to the diagnosis", f"{s.seconds:.2f} in the mean, {s.slowest:.2f} at most"),
        (
            "families of look-alikes",
            f"{len(board.families)}, told apart: {len(board.families) - len(looking)}"
            + "".join(f"; {f.name} {f.cause_at_1}/{f.scenarios}" for f in looking),
        ),
        ("seconds in all", f"{board.seconds:.0f}"),
    ]


def share(part: int, whole: int) -> str:
    """`97 of 100 (97.0 %)`."""
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none"


def markdown(board: Board) -> str:
    """The whole scoreboard as Markdown."""
    lines = ["# Scoreboard", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in figures(board)]
    lines += [
        "",
        "## Confusion",
        "",
        "Only what is not on the diagonal.",
        "",
        "| expected | said | times |",
        "| --- | --- | --- |",
    ]
    off = [(e, s, n) for e, row in board.confusion.items() for s, n in row.items() if s != e]
    lines += [f"| {e} | {s} | {n} |" for e, s, n in off] or ["| - | - | 0 |"]
    lines += [
        "",
        "## Scenarios",
        "",
        "| scenario | expected | said | ranks | symptom | fix | s | |",
        "| --- " * 8 + "|",
    ]
    lines += [_row(r) for r in board.scenarios]
    return "\n".join(lines) + "\n"


def _row(row: Outcome) -> str:
    if row.skipped:
        return f"| {row.name} | {row.expected} | | | | | | skipped: {_cell(row.skipped)} |"
    fix = "verified" if row.fix_verified else "not verified" if row.mendable else ""
    ranks = ", ".join(map(str, row.ranks))
    problems = _cell("; ".join(row.problems)) or "ok"
    return f"| {row.name} | {row.expected} | {row.said} | {ranks} | {row.symptom} | {fix} | {row.seconds:.2f} | {problems} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
