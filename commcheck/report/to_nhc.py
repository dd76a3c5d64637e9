"""The report as LBNL's Node Health Check and a prolog want it: one line, and nothing but a fault that was found is a failure."""

from commcheck.model.diagnosis import Report, Role, Verdict
from commcheck.report.clean import one_line
from commcheck.report.text_world import headline

EXITS = {"healthy": 0, "unhealthy": 1, "inconclusive": 0}
"""By the verdict. What could not be judged must not take a node out of service."""
_LONG = 250
"""Characters: the line becomes the node's reason in Slurm."""


def render(report: Report) -> str:
    """One line."""
    root = next((d for d in report.diagnoses if d.role is Role.ROOT), None)
    if report.verdict is Verdict.UNHEALTHY:
        return line(
            "ERROR", root.title if root is not None else headline(report), root.cause if root is not None else ""
        )
    word = "OK" if report.verdict is Verdict.HEALTHY else "NOT JUDGED"
    return line(word, headline(report))


def line(word: str, said: str, cause: str = "") -> str:
    """The line, which begins with its word."""
    return f"{word}: commcheck: {f'{one_line(cause)}: ' if cause else ''}{one_line(said, _LONG)}\n"
