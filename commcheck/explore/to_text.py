"""An exploration as text: what was tried, what was found, which settings are safe."""

from __future__ import annotations

from commcheck.explore.findings import Exploration, Finding
from commcheck.predict.model import Outlook
from commcheck.report.clean import one_line, wrap

TITLE_WIDTH = 300
INDENT = "      "


def render(done: Exploration, width: int = 100) -> str:
    """The whole, at most `width` wide where it is prose."""
    lines = [headline(done), "", *_facts(done, width)]
    if done.base != "healthy":
        lines += [
            "",
            *wrap(f"Nothing was varied: with all settings at their base it is {done.base}: {done.base_title}", width),
        ]
        return "\n".join(lines) + "\n"
    news = [f for g in done.groups for f in g.findings if f.surprise or f.predicted.outlook is Outlook.UNKNOWN]
    lines += (
        _groups(done, "Not predicted", width, news=True) if news else ["", "Nothing happened that was not predicted."]
    )
    lines += _groups(done, "As predicted", width, news=False)
    lines += _loose(done, width)
    lines += [
        "",
        "Safe region (a number: findings that a choice is part of; fails: by itself; ?: not shown to work)",
        "",
    ]
    return "\n".join([*lines, *_region(done, width)]) + "\n"


def headline(done: Exploration) -> str:
    """One line: how many findings, in how many worlds."""
    count = sum(len(g.findings) for g in done.groups)
    news = sum(bool(f.surprise) for g in done.groups for f in g.findings)
    if done.base != "healthy":
        return f"BASE {done.base.upper()}  {done.worlds} world{'' if done.worlds == 1 else 's'}, {done.seconds:.0f} s"
    return f"EXPLORED  {count} findings, {news} of them surprises, in {done.worlds} worlds ({done.seconds:.0f} s)"


def _facts(done: Exploration, width: int) -> list[str]:
    cover = done.coverage
    settings = sum(map(len, done.parameters.values()))
    what = {2: "pairs", 3: "triples"}.get(cover.strength, f"combinations of {cover.strength}")
    purposes = ", ".join(f"{count} {name}" for name, count in done.worlds_by_purpose.items())
    facts = {
        "method": f"{done.method}, strength {cover.strength}, seed {done.seed}; {done.ended}",
        "space": f"{len(done.parameters)} parameters, {settings} settings, {cover.total} {what} that are possible",
        "coverage": f"{100 * cover.decided:.1f} % of the {what} decided: {cover.work} work, {cover.fail} hold what fails, "
        f"{cover.open} open",
        "worlds": purposes,
        "predictions": f"{done.agreed} of {done.predicted} worlds did what was predicted",
    }
    lines = []
    for name, text in facts.items():
        lines += wrap(text, width, f"  {name:<12}", " " * 14)
    for note in done.notes:
        lines += wrap(note, width, f"  {'note':<12}", " " * 14)
    return lines


def _groups(done: Exploration, title: str, width: int, *, news: bool) -> list[str]:
    lines: list[str] = []
    number = 0
    for group in done.groups:
        head = True
        for finding in group.findings:
            number += 1
            if bool(finding.surprise or finding.predicted.outlook is Outlook.UNKNOWN) is not news:
                continue
            if head:
                lines += ["", f"  {group.cause}"]
                head = False
            lines += _finding(number, finding, width, details=news)
    return ["", title, *lines] if lines else []


def _finding(number: int, finding: Finding, width: int, *, details: bool) -> list[str]:
    what = ", ".join(f"{name}={choice}" for name, choice in finding.settings.items()) or "the base itself"
    lines = [f"  {number:>3} {what}   [{finding.kind.value}, {finding.failed} of {finding.runs}]"]
    if not details:
        return lines
    lines += wrap(one_line(finding.title, TITLE_WIDTH), width, INDENT, INDENT)
    if finding.surprise:
        lines += wrap(one_line(finding.surprise, TITLE_WIDTH), width, INDENT, INDENT)
    elif finding.predicted.outlook is Outlook.UNKNOWN:
        lines += wrap(f"nothing was predicted: {finding.predicted.reason}", width, INDENT, INDENT)
    return lines


def _loose(done: Exploration, width: int) -> list[str]:
    lines: list[str] = []
    if done.unsure:
        lines += ["", "Not each time (believed only when three worlds of three show it)"]
        for number, finding in enumerate(done.unsure, 1):
            lines += _finding(number, finding, width, details=False)
    if done.unshrunk:
        lines += ["", "Seen to fail, the budget ended before the settings were found that matter"]
        for settings in done.unshrunk:
            lines += wrap(", ".join(f"{n}={c}" for n, c in settings.items()), width, "      ", "      ")
    for why, count in done.not_run.items():
        lines += ["", *wrap(f"{count} combinations cannot be run here: {one_line(why, TITLE_WIDTH)}", width)]
    return lines


def _region(done: Exploration, width: int) -> list[str]:
    lines = []
    broad = max(map(len, done.parameters), default=0)
    for name in done.parameters:
        cells = []
        for cell in done.cells:
            if cell.parameter != name:
                continue
            mark = "fails" if cell.alone else f"{len(cell.findings)}" if cell.findings else ""
            mark = mark or ("" if cell.works else "?")
            cells.append(f"{cell.choice.replace(' ', '_')}{f'({mark})' if mark else ''}")
        lines += wrap("  ".join(cells), width, f"  {name:<{broad}}  ", " " * (broad + 4))
    return lines
