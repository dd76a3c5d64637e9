"""The forms of a cluster's report by name, and the exit codes that go with them."""

from __future__ import annotations

from collections.abc import Callable

from commcheck.cluster.clean import clean
from commcheck.cluster.history import Comparison
from commcheck.model.cluster import ClusterReport

FORMATS = ("text", "json", "html", "junit", "prometheus", "nagios", "nhc")


def rendered(
    report: ClusterReport,
    form: str,
    changes: Comparison | None = None,
    *,
    host: str = "",
    color: bool = False,
    width: int = 100,
) -> str:
    """The report in a form, without secrets; only that form's module is imported. `host`: of which `nhc` speaks."""
    report = clean(report)
    render: Callable[[ClusterReport, Comparison | None], str]
    if form == "text":
        from commcheck.cluster.to_text import render as render_text

        return _writable(render_text(report, changes, color=color, width=width))
    if form == "nhc":
        from commcheck.cluster.to_nhc import render as render_line

        return _writable(render_line(report, host))
    if form == "json":
        from commcheck.cluster.to_json import render
    elif form == "html":
        from commcheck.cluster.to_html import render
    elif form == "junit":
        from commcheck.cluster.to_junit import render
    elif form == "prometheus":
        from commcheck.cluster.to_prometheus import render
    else:
        from commcheck.cluster.to_nagios import render
    return _writable(render(report, changes))


def _writable(text: str) -> str:
    """What hosts say may hold halves of characters, which no file takes: they are spelt out."""
    return text.encode(errors="backslashreplace").decode()


def exit_code(report: ClusterReport, form: str, host: str = "") -> int:
    """As that form's reader expects it: 0 healthy, 1 unhealthy, 3 inconclusive; Nagios's own; for NHC, of this host."""
    if form == "nhc":
        from commcheck.cluster.to_nhc import exit_code as of_host

        return of_host(report, host)
    if form == "nagios":
        from commcheck.report.to_nagios import EXITS

        return EXITS[report.verdict.value]
    return {"healthy": 0, "unhealthy": 1, "inconclusive": 3}[report.verdict.value]
