"""The installed torch was built without the backend that is asked for.

**What you see.** `Distributed package doesn't have NCCL built in` (or MPI, UCC, GLOO).

**Why it happens.** A CPU build of torch on a GPU machine; MPI needs a torch built from source.

**How to fix.** Install the build that has it, or use gloo.

**How to confirm.** `python -c "import torch.distributed as d; print(d.is_nccl_available(), d.is_gloo_available())"`
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, said, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

WORDS = ("built in", "only supported with GPUs")


def match(case: Case) -> Match | None:
    """torch's own words, and what it says that it offers."""
    wrong = [r for r in started(case) if said(r, *WORDS)]
    if not wrong:
        return None
    seen = [evidence(EvidenceKind.LOG, said(r, *WORDS).strip()[:300], r, "stderr") for r in wrong[:4]]
    facts = case.host(wrong[0].host)
    if facts is not None and facts.backends:
        torch = facts.versions.get("torch", "")
        seen.append(
            evidence(
                EvidenceKind.FACT, f"torch {torch} offers {', '.join(facts.backends)}", wrong[0], "torch.distributed"
            )
        )
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"The installed torch has no {_missing(wrong[0])} ({ranks_text(names(wrong))})",
        confidence=0.95,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text="use gloo, which this torch has",
                args={"backend": "gloo"},
            ),
            Fix(
                pattern=FixPattern.DEPENDENCY_VERSION,
                text=f"install a torch that was built with {_missing(wrong[0])}",
                commands=("pip install torch   # a CUDA build; see https://pytorch.org/get-started/locally/",),
                applies_to_ranks=names(wrong),
            ),
        ),
    )


def _missing(rank: RankRecord) -> str:
    """Of `cpu:gloo,cuda:nccl` only what is not there."""
    return "nccl" if "nccl" in (rank.backend or "") else str(rank.backend)


RULE = Rule(
    cause="backend-not-built",
    code="CC902",
    title="The installed torch was built without this backend",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_FAILURE,
        Symptom.BUILD_IMPORT_ERROR,
        Symptom.BUILD_INSTALL_FAILURE,
        Symptom.PREP_DEVICE_ERROR,
        Symptom.TRAIN_NOT_IMPLEMENTED,
    ),
    fixes=(
        (FixPattern.DEPENDENCY_VERSION, "install a build that has it"),
        (FixPattern.COMMUNICATION_CONFIGURATION, "use a backend that is there"),
    ),
    match=match,
    explains=("rank-missing", "collective-missing-rank"),
    needs=("ranks",),
)
