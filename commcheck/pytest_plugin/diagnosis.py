"""What the rules make of a world that failed, in the few lines that stand under a failed test."""

from __future__ import annotations

from commcheck.diagnose.match import FLAGGED, Judgement
from commcheck.model.base import ranks_text
from commcheck.model.diagnosis import Diagnosis, Role
from commcheck.report.text_fix import fix_lines
from commcheck.report.to_text import confidence_words

RESTATED = frozenset({"script-error", "rank-crashed", "rank-killed", "rank-exited", "unclassified"})
"""Causes that say no more than the failure of a test itself."""
SHOWN = 2
EVIDENCE = 4


def told(judgement: Judgement, *, formed: bool) -> list[Diagnosis]:
    """The causes that say more than the failure itself does; of a world that did not form, every known one."""
    restated = RESTATED if formed else {"unclassified"}
    return [
        d for d in judgement.diagnoses if d.role is Role.ROOT and d.confidence >= FLAGGED and d.cause not in restated
    ]


def diagnosis_text(judgement: Judgement, *, formed: bool) -> str:
    """Cause, evidence and repair of the likeliest causes; empty where no rule knows more than the failure says."""
    lines: list[str] = []
    for diagnosis in told(judgement, formed=formed)[:SHOWN]:
        lines += [
            "",
            f"{diagnosis.title}  [{diagnosis.code} {diagnosis.cause}], {confidence_words(diagnosis.confidence)}",
        ]
        for number, piece in enumerate(diagnosis.evidence[:EVIDENCE]):
            source = ", ".join(
                filter(None, (ranks_text(() if piece.rank is None else (piece.rank,)), piece.kind.value))
            )
            lines.append(f"  {'why' if number == 0 else '':<4} {piece.text} [{source}]")
        for fix in diagnosis.fixes:
            lines.append(f"  {'do':<4} {fix.text}")
            outcome, commands = fix_lines(fix, {})
            shown = (*commands, outcome if fix.changes_settings_only else "")
            lines += [f"       {line}" for line in shown if line]
    return "\n".join(lines[1:])
