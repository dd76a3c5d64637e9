"""The ranks reduce with different operations.

**What you see.** Nothing: the values are wrong on every rank, the exit code is 0, and even TORCH_DISTRIBUTED_DEBUG=DETAIL is silent.

**Why it happens.** A metric averaged on one rank and summed on another.

**How to fix.** use the same reduce operation on every rank

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation, and
not two equal calls in another order); commcheck compares what each rank called.
"""

from __future__ import annotations

from commcheck.diagnose.calls import difference, matched, signature
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

KINDS = ("reduce-op",)
ADVICE = "use the same reduce operation on every rank"


def match(case: Case) -> Match | None:
    """The first difference between the ranks' calls is of this kind."""
    found = difference(case)
    if found is None or found.kind not in KINDS:
        return None
    mine = signature(found.guilty[0].collectives[found.index])
    theirs = signature(found.innocent[0].collectives[found.index]) if found.innocent else "something else"
    return matched(case, found, f"reduces with {mine}, the others with {theirs}", FixPattern.BEHAVIOR_LOGIC, ADVICE)


RULE = Rule(
    cause="collective-op-mismatch",
    code="CC204",
    title="The ranks reduce with different operations",
    stage=Stage.TRAINING,
    symptoms=(Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PREP_COMMUNICATION_ERROR, Symptom.PERF_UNEXPECTED_RESULT),
    fixes=((FixPattern.BEHAVIOR_LOGIC, ADVICE),),
    match=match,
    explains=("wrong-values", "rank-crashed", "collective-missing-rank", "rank-exited"),
    needs=("ranks",),
)
