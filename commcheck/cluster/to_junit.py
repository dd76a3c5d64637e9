"""A cluster's report as JUnit XML: a test case per host, per finding, and the verdict."""

from xml.etree import ElementTree as ET

from commcheck.cluster.history import Comparison, rows
from commcheck.cluster.summary import headline, hosts, roots
from commcheck.model.cluster import ClusterReport
from commcheck.model.diagnosis import Role, Verdict
from commcheck.report.clean import one_line
from commcheck.report.to_junit import case_of, details_of, document, mark


def render(report: ClusterReport, changes: Comparison | None = None) -> str:
    """An XML document with one <testsuite>. It holds a failure if and only if the verdict is unhealthy."""
    suite = ET.Element("testsuite", name="commcheck.cluster", time=f"{report.seconds:.3f}")
    unhealthy = report.verdict is Verdict.UNHEALTHY
    verdict = case_of(suite, "commcheck.cluster", "verdict", report.seconds)
    if unhealthy:
        mark(verdict, "failure", "; ".join(one_line(d.title) for d in roots(report)) or headline(report))
    elif report.verdict is Verdict.INCONCLUSIVE:
        mark(verdict, "error", one_line("; ".join(report.not_evaluated)) or "could not be decided")
    for host in hosts(report):
        case = case_of(suite, "commcheck.host", one_line(host.row.name) or "?")
        if host.row.said_nothing or host.bad or host.causes:
            what = "said nothing" if host.row.said_nothing else ", ".join(host.causes) or "better left out"
            mark(case, "failure" if unhealthy and (host.bad or host.row.said_nothing) else "skipped", what)
    for d in report.diagnoses:
        case = case_of(suite, "commcheck.diagnosis", f"{d.code} {d.cause} {one_line(d.title, 120)}")
        kind = "failure" if unhealthy and d.role is Role.ROOT else "skipped"
        mark(case, kind, one_line(d.title), details=details_of(d, {}), symptom=d.symptom.value)
    for number, row in enumerate(rows(changes) if changes is not None else ()):
        case = case_of(suite, "commcheck.since", f"{row.word} {number + 1}")
        mark(case, "skipped", one_line(f"{row.what}: {row.before} -> {row.now}"))
    for number, reason in enumerate(report.not_evaluated):
        mark(case_of(suite, "commcheck.not-evaluated", f"not evaluated {number + 1}"), "skipped", one_line(reason))
    return document(suite)
