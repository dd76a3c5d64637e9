"""The ranks reduce with different operations.

**What you see.** Nothing: the values are wrong on every rank, the exit code is 0, and even
TORCH_DISTRIBUTED_DEBUG=DETAIL is silent.

**Why it happens.** A metric averaged on one rank and summed on another.

**How to fix.** Use the same reduce operation on every rank.

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation,
and not two equal calls in another order); commcheck compares what each rank called.
"""

from commcheck.diagnose.calls import mismatch_rule
from commcheck.model.taxonomy import FixPattern, Symptom

RULE = mismatch_rule(
    cause="collective-op-mismatch",
    code="CC204",
    title="The ranks reduce with different operations",
    kinds=("reduce-op",),
    says="reduces with {mine}, the others with {theirs}",
    pattern=FixPattern.BEHAVIOR_LOGIC,
    advice="use the same reduce operation on every rank",
    shows=(
        Symptom.TRAIN_TENSOR_MISMATCH,
        Symptom.PERF_NON_CONVERGENCE,
    ),
)
