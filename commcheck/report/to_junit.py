"""The report as JUnit XML, which every CI system shows: one test case per phase and per diagnosis, and the verdict."""

from xml.etree import ElementTree as ET

from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import Diagnosis, Evidence, Report, Role, Verdict
from commcheck.report.clean import one_line, visible
from commcheck.report.phases import bad_text, summarize
from commcheck.report.text_fix import fix_lines, slot_names

Element = ET.Element


def render(report: Report) -> str:
    """An XML document with one <testsuite>. It holds a failure if and only if the verdict is unhealthy."""
    suite = Element("testsuite", name="commcheck", time=f"{report.seconds:.3f}")
    unhealthy = report.verdict is Verdict.UNHEALTHY
    _verdict(suite, report)
    for phase in summarize(report.phases):
        case = case_of(suite, "commcheck.phase", phase.phase, phase.seconds)
        if phase.bad:
            text = bad_text(phase)
            # A phase that only some ranks came to, in a world that is fine otherwise, is no failure of its own.
            mark(case, "failure" if unhealthy and phase.failed else "skipped", text)
    for diagnosis in report.diagnoses:
        case = case_of(suite, "commcheck.diagnosis", f"{diagnosis.code} {diagnosis.cause}")
        root = diagnosis.role is Role.ROOT
        kind = "failure" if unhealthy and root else "skipped"
        title = one_line(diagnosis.title) if root else f"a consequence: {one_line(diagnosis.title)}"
        mark(
            case, kind, title, details=details_of(diagnosis, slot_names(report.world)), symptom=diagnosis.symptom.value
        )
    for number, reason in enumerate(report.not_evaluated):
        mark(case_of(suite, "commcheck.not-evaluated", f"not evaluated {number + 1}"), "skipped", one_line(reason))
    return document(suite)


def document(suite: Element) -> str:
    """The suite, counted, as a document of its own."""
    for kind, total in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(sum(1 for _ in suite.iter(total))))
    root_element = Element("testsuites", name="commcheck")
    root_element.append(suite)
    ET.indent(root_element)
    body = ET.tostring(root_element, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _verdict(suite: Element, report: Report) -> None:
    case = case_of(suite, "commcheck", "verdict", report.seconds)
    if report.verdict is Verdict.UNHEALTHY:
        roots = [one_line(d.title) for d in report.diagnoses if d.role is Role.ROOT]
        mark(case, "failure", "; ".join(roots) or "the world failed, and no cause was recognised")
    elif report.verdict is Verdict.INCONCLUSIVE:
        mark(case, "error", one_line("; ".join(report.not_evaluated)) or "could not be decided")


def case_of(suite: Element, group: str, name: str, seconds: float = 0.0) -> Element:
    """A further test case."""
    return ET.SubElement(suite, "testcase", classname=group, name=_legal(name), time=f"{seconds:.3f}")


def mark(case: Element, kind: str, message: str, details: str = "", symptom: str = "") -> None:
    """Say of a test case that it failed, could not be judged or is no test of its own."""
    mark = ET.SubElement(case, kind, message=_legal(message))
    if symptom:
        mark.set("type", symptom)
    if details:
        mark.text = _legal(details)


def details_of(diagnosis: Diagnosis, names: dict[int, str]) -> str:
    """Where, why, and what to do."""
    where = ", ".join(filter(None, (ranks_text(diagnosis.ranks), *diagnosis.hosts)))
    lines = [f"symptom: {diagnosis.symptom.value}, confidence {diagnosis.confidence:.2f}"]
    if where:
        lines.append(f"where: {where}")
    lines += [f"why ({_origin(e)}): {one_line(e.text)}" for e in diagnosis.evidence]
    lines += [f"against ({_origin(e)}): {one_line(e.text)}" for e in diagnosis.against]
    for fix in diagnosis.fixes:
        verified = {True: "tried, worked", False: "tried, did not help", None: "not tried"}[fix.verified]
        lines.append(f"fix ({verified}): {one_line(fix.text)}")
        lines += [f"  {command}" for command in fix_lines(fix, names)[1]]
    return "\n".join(lines)


def _origin(evidence: Evidence) -> str:
    return evidence.kind.value if evidence.rank is None else f"rank {evidence.rank}, {evidence.kind.value}"


def _legal(text: str) -> str:
    """Only characters that XML 1.0 allows: `visible` leaves two that it does not."""
    return "".join(c for c in visible(text) if c not in "\ufffe\uffff")
