"""The ranks bring tensors of different sizes to one collective.

**What you see.** `Received data size doesn't match expected size. Is there a distributed collective mismatch in your code?` and an abort on the innocent rank; `Connection reset by peer` on the guilty one.

**Why it happens.** An uneven last batch, a vocabulary or model of another size on one rank.

**How to fix.** give the tensor the same shape on every rank (pad, or gather the sizes first)

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation, and
not two equal calls in another order); commcheck compares what each rank called.
"""

from __future__ import annotations

from commcheck.diagnose.calls import difference, matched, signature
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

KINDS = ("shape",)
ADVICE = "give the tensor the same shape on every rank (pad, or gather the sizes first)"


def match(case: Case) -> Match | None:
    """The first difference between the ranks' calls is of this kind."""
    found = difference(case)
    if found is None or found.kind not in KINDS:
        return None
    mine = signature(found.guilty[0].collectives[found.index])
    theirs = signature(found.innocent[0].collectives[found.index]) if found.innocent else "something else"
    return matched(case, found, f"brings {mine}, the others {theirs}", FixPattern.DISTRIBUTED_API_USAGE, ADVICE)


RULE = Rule(
    cause="collective-shape-mismatch",
    code="CC202",
    title="The ranks bring tensors of different sizes to one collective",
    stage=Stage.TRAINING,
    symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PREP_COMMUNICATION_ERROR, Symptom.PERF_UNEXPECTED_RESULT),
    fixes=((FixPattern.DISTRIBUTED_API_USAGE, ADVICE),),
    match=match,
    explains=("wrong-values", "rank-crashed", "collective-missing-rank", "rank-exited"),
    needs=("ranks",),
)
