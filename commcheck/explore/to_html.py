"""An exploration as one page without scripts or outside files: the text's facts, the findings as a table, the picture."""

from __future__ import annotations

from html import escape

from commcheck.explore.findings import Exploration, Finding
from commcheck.explore.picture import RIGHT, WRONG, svg
from commcheck.explore.to_text import headline
from commcheck.report.clean import visible

STYLE = (
    "body{font-family:sans-serif;margin:2em;max-width:75em;color:#222}table{border-collapse:collapse}"
    "td,th{border:1px solid #ddd;padding:.3em .6em;text-align:left;vertical-align:top}"
    f".ok{{color:{RIGHT}}}.bad{{color:{WRONG}}}code{{background:#f3f3f3}}"
)


def render(done: Exploration) -> str:
    """The page."""
    cover = done.coverage
    facts = (
        ("method", f"{done.method}, strength {cover.strength}, seed {done.seed}; {done.ended}"),
        ("base", f"{done.base} {done.base_title}"),
        ("coverage", f"{100 * cover.decided:.1f} % of {cover.total}: {cover.work} work, {cover.fail} fail, {cover.open} open"),
        ("worlds", ", ".join(f"{count} {name}" for name, count in done.worlds_by_purpose.items())),
        ("predictions", f"{done.agreed} of {done.predicted} worlds did what was predicted"),
        *(("note", note) for note in done.notes),
    )  # fmt: skip
    rows = [_finding(g.cause, f) for g in done.groups for f in g.findings]
    unsure = [_finding(f.cause, f) for f in done.unsure]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(headline(done))}</title>',
        f"<style>{STYLE}</style><h1>{escape(headline(done))}</h1>",
        _table(("", ""), [_cells(*fact) for fact in facts]),
        "<h2>Findings</h2>",
        _table(("cause", "settings", "shown", "what", "predicted"), rows),
        *(
            ["<h2>Not each time</h2>", _table(("cause", "settings", "shown", "what", "predicted"), unsure)]
            if unsure
            else []
        ),
        "<h2>Safe region</h2>",
        _table(("parameter", "choices"), [_region(done, name) for name in done.parameters]),
        svg(done) if done.base == "healthy" else "",
        "</html>\n",
    ]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: list[str]) -> str:
    top = "".join(f"<th>{escape(h)}</th>" for h in head) if any(head) else ""
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _cells(*texts: str) -> str:
    return "".join(f"<td>{escape(visible(text))}</td>" for text in texts)


def _finding(cause: str, finding: Finding) -> str:
    settings = "<br>".join(f"<code>{escape(visible(f'{n}={c}'))}</code>" for n, c in finding.settings.items())
    said = finding.surprise or f"{finding.predicted.outlook.value}: {finding.predicted.reason}"
    shown = f"{finding.kind.value}, {finding.failed} of {finding.runs}"
    return _cells(cause) + f"<td>{settings}</td>" + _cells(shown, finding.title, said)


def _region(done: Exploration, name: str) -> str:
    made = []
    for cell in done.cells:
        if cell.parameter == name:
            kind = "bad" if cell.findings else "ok" if cell.works else ""
            note = " fails" if cell.alone else f" ({len(cell.findings)} findings)" if cell.findings else ""
            made.append(f'<span class="{kind}">{escape(visible(cell.choice))}{note}</span>')
    return f"<td>{escape(name)}</td><td>{', '.join(made)}</td>"
