"""A cluster's report for a person: the verdict first, then what, where, why and what to do, then the figures."""

from commcheck.cluster.heat import REACHED, figure
from commcheck.cluster.history import Comparison, text_lines
from commcheck.cluster.summary import HostSummary, figures, headline, hosts, roots
from commcheck.model.base import listed
from commcheck.model.cluster import ClusterReport, Reach
from commcheck.model.diagnosis import Role, Verdict
from commcheck.report.clean import one_line
from commcheck.report.to_text import VERDICT_STYLE, Page, confidence_words, place, show_diagnosis

FULL = 5
"""Findings in full; the others get a line each."""
GRID_UP_TO = 24
"""Hosts up to which the letters of who reaches whom are shown, where somebody does not."""
HOSTS = 12
"""Hosts of which something is to be said."""


def render(report: ClusterReport, changes: Comparison | None = None, *, color: bool = False, width: int = 100) -> str:
    """The report as text that ends with a newline."""
    page = Page(color=color, width=width)
    shown = page.paint(report.verdict.value.upper(), "bold", VERDICT_STYLE[report.verdict])
    page.lines.append(f"{shown}  {headline(report)}  ({report.seconds:.1f} s)")
    found = roots(report)
    for number, diagnosis in enumerate(found[:FULL], 1):
        show_diagnosis(page, diagnosis, number if len(found) > 1 else 0, {}, number)
    page.blank()
    for diagnosis in found[FULL:]:
        sure = f"{confidence_words(diagnosis.confidence)} ({diagnosis.confidence:.2f})"
        where = place(diagnosis)
        page.row(
            "also", f"{diagnosis.title} [{diagnosis.code} {diagnosis.cause}]{f', {where}' if where else ''}, {sure}"
        )
    for diagnosis in report.diagnoses:
        if diagnosis.role is not Role.ROOT:
            page.row("follows", f"{diagnosis.title} [{diagnosis.code} {diagnosis.cause}]")
    page.blank()
    for label, text in figures(report):
        page.row(label, text)
    if report.bad_hosts:
        page.row("leave out", listed(report.bad_hosts, 20), "bold")
    _grid(page, report)
    _slow(page, report)
    if changes is not None:
        page.blank()
        for label, text in text_lines(changes):
            page.row(label, text, {"worse": "red", "better": "green"}.get(label, ""))
        for note in changes.notes:
            page.row("", note)
    _drift(page, report)
    page.blank()
    for label, texts in (("not judged", report.not_evaluated), ("note", report.notes)):
        for text in texts[:6]:
            page.row(label, text)
        if len(texts) > 6:
            page.row("", f"and {len(texts) - 6} more (--format json shows all)")
    while page.lines and not page.lines[-1]:
        page.lines.pop()
    return "\n".join(page.lines) + "\n"


def _grid(page: Page, report: ClusterReport) -> None:
    """Letters, a row per source, where somebody does not reach somebody."""
    fine = {Reach.OK.value, Reach.ITSELF.value}
    seen = set("".join(report.reach)) - fine
    if not seen or len(report.hosts) > GRID_UP_TO:
        return
    page.blank()
    longest = max(len(one_line(h.name)) for h in report.hosts)
    for number, (host, row) in enumerate(zip(report.hosts, report.reach, strict=False)):
        page.raw(f"{one_line(host.name):<{longest}}  {' '.join(row)}", "from, to" if number == 0 else "")
    words = [f"{letter.value} {text}" for letter, (_, text) in REACHED.items() if letter.value in seen]
    page.row("", "; ".join(("o reached", *words)))


def _slow(page: Page, report: ClusterReport) -> None:
    """The hosts of which something is to be said, with their own figures."""
    if report.verdict is Verdict.HEALTHY:
        return
    worth = [h for h in hosts(report) if h.bad or h.causes or h.row.said_nothing]
    for number, host in enumerate(worth[:HOSTS]):
        page.row("hosts" if number == 0 else "", f"{host.row.name}: {', '.join(_said(host))}")
    if len(worth) > HOSTS:
        page.row("", f"and {len(worth) - HOSTS} more (--format json shows all)")


def _said(host: HostSummary) -> list[str]:
    if host.row.said_nothing:
        return ["said nothing"]
    said = list(host.causes)
    for value, unit in ((host.latency_us, "us"), (host.gbit, "Gbit/s"), (host.gbit_loaded, "Gbit/s loaded")):
        if value is not None:
            said.append(f"{figure(value)} {unit}")
    return said or ["nothing measured"]


def _drift(page: Page, report: ClusterReport) -> None:
    if report.drift:
        page.blank()
    for d in report.drift[:HOSTS]:
        values = "; ".join(f"{value} on {listed(found, 3)}" for value, found in list(d.values.items())[:4])
        was = f" (was {d.baseline})" if d.baseline else ""
        page.row("differs", f"{d.kind} {d.name}{was}: {values}")
    if len(report.drift) > HOSTS:
        page.row("", f"and {len(report.drift) - HOSTS} more (--format json shows all)")
