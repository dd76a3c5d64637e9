"""The ranks bring tensors of different types to one collective.

**What you see.** Nothing where the types have equally many bytes: the values are garbage on every rank. Otherwise an abort as for different sizes.

**Why it happens.** Mixed precision on some ranks, a default dtype that differs, an integer where others have a float.

**How to fix.** give the tensor the same dtype on every rank

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation, and
not two equal calls in another order); commcheck compares what each rank called.
"""

from __future__ import annotations

from commcheck.diagnose.calls import difference, matched, signature
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

KINDS = ("dtype",)
ADVICE = "give the tensor the same dtype on every rank"


def match(case: Case) -> Match | None:
    """The first difference between the ranks' calls is of this kind."""
    found = difference(case)
    if found is None or found.kind not in KINDS:
        return None
    mine = signature(found.guilty[0].collectives[found.index])
    theirs = signature(found.innocent[0].collectives[found.index]) if found.innocent else "something else"
    return matched(case, found, f"brings {mine}, the others {theirs}", FixPattern.DISTRIBUTED_API_USAGE, ADVICE)


RULE = Rule(
    cause="collective-dtype-mismatch",
    code="CC203",
    title="The ranks bring tensors of different types to one collective",
    stage=Stage.TRAINING,
    symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PREP_COMMUNICATION_ERROR, Symptom.PERF_UNEXPECTED_RESULT),
    fixes=((FixPattern.DISTRIBUTED_API_USAGE, ADVICE),),
    match=match,
    explains=("wrong-values", "rank-crashed", "collective-missing-rank", "rank-exited"),
    needs=("ranks",),
)
