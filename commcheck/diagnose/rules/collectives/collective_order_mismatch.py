"""The ranks call different collectives.

**What you see.** A hang until the timeout, an abort on the innocent rank and a reset on the guilty one, or silent garbage where the sizes agree.

**Why it happens.** Control flow that depends on the rank or on its data: an early return, a branch, an iteration order.

**How to fix.** make every rank issue the same collectives in the same order

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation, and
not two equal calls in another order); commcheck compares what each rank called.
"""

from __future__ import annotations

from commcheck.diagnose.calls import difference, matched, signature
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

KINDS = (
    "op",
    "order",
)
ADVICE = "make every rank issue the same collectives in the same order"


def match(case: Case) -> Match | None:
    """The first difference between the ranks' calls is of this kind."""
    found = difference(case)
    if found is None or found.kind not in KINDS:
        return None
    mine = signature(found.guilty[0].collectives[found.index])
    theirs = signature(found.innocent[0].collectives[found.index]) if found.innocent else "something else"
    return matched(case, found, f"calls {mine} where the others call {theirs}", FixPattern.BEHAVIOR_LOGIC, ADVICE)


RULE = Rule(
    cause="collective-order-mismatch",
    code="CC201",
    title="The ranks call different collectives",
    stage=Stage.TRAINING,
    symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PREP_COMMUNICATION_ERROR, Symptom.PERF_UNEXPECTED_RESULT),
    fixes=((FixPattern.BEHAVIOR_LOGIC, ADVICE),),
    match=match,
    explains=("wrong-values", "rank-crashed", "collective-missing-rank", "rank-exited"),
    needs=("ranks",),
)
