"""The backend's name is none that torch knows.

**What you see.** `Unknown backend type NAME` (AssertionError) or `Invalid backend`, after the store has formed.

**Why it happens.** A misspelt name, a plugin (xccl, hccl, ucc) that was not imported.

**How to fix.** Use gloo on CPUs, nccl on NVIDIA GPUs, or import the plugin's package first.

**How to confirm.** `python -c "import torch.distributed as d; print(d.Backend.backend_list)"`
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, said, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

WORDS = ("Unknown backend type", "Invalid backend", "Unknown c10d backend type", "Unsupported backend")


def match(case: Case) -> Match | None:
    """torch's own words."""
    wrong = [r for r in started(case) if said(r, *WORDS)]
    if not wrong:
        return None
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"torch knows no backend {wrong[0].backend!r} ({ranks_text(names(wrong))})",
        confidence=0.95,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(evidence(EvidenceKind.LOG, said(r, *WORDS).strip()[:300], r, "stderr") for r in wrong[:4]),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text="use gloo (CPU) or nccl (NVIDIA GPU)",
                args={"backend": "gloo"},
            ),
        ),
    )


RULE = Rule(
    cause="backend-unknown",
    code="CC901",
    title="torch knows no such backend",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "use a backend that torch knows"),),
    match=match,
    explains=("rank-missing", "collective-missing-rank"),
    needs=("ranks",),
)
