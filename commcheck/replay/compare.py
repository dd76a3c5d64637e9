"""Whether a world that was run again said what it said the first time. Pure."""

from __future__ import annotations

from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import Diagnosis, Report, Role, Verdict


def lead(report: Report) -> Diagnosis | None:
    """The first cause of a report that says that something is wrong."""
    if report.verdict is Verdict.HEALTHY:
        return None
    return next((d for d in report.diagnoses if d.role is Role.ROOT), None)


def same(before: Report, now: Report) -> bool:
    """The same verdict, cause and ranks."""
    first, again = lead(before), lead(now)
    if before.verdict is not now.verdict:
        return False
    if first is None or again is None:
        return first is again
    return (first.cause, first.ranks) == (again.cause, again.ranks)


def compared(before: Report, now: Report) -> str:
    """One sentence: again, or how it differs. A recording in which nothing is wrong says nothing by itself."""
    if before.verdict is Verdict.INCONCLUSIVE and lead(before) is None and now.verdict is Verdict.HEALTHY:
        return "nothing was seen to be wrong when it was recorded, and it came through here"
    if same(before, now):
        found = lead(now)
        if found is None:
            return f"again: {now.verdict.value}, as recorded"
        return f"again: the same cause on the same ranks ({_said(now)})"
    return f"differs: {_said(now)}, and {_said(before)} when it was recorded"


def _said(report: Report) -> str:
    found = lead(report)
    if found is None:
        return report.verdict.value
    where = f" on {ranks_text(found.ranks)}" if found.ranks else ""
    unsure = "" if report.verdict is Verdict.UNHEALTHY else f"{report.verdict.value}, perhaps "
    return f"{unsure}{found.cause}{where}"
