"""The ranks call different collectives.

**What you see.** A hang until the timeout, an abort on the innocent rank and a reset on the guilty one, or silent
garbage where the sizes agree.

**Why it happens.** Control flow that depends on the rank or on its data: an early return, a branch, an iteration
order.

**How to fix.** Make every rank issue the same collectives in the same order.

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation,
and not two equal calls in another order); commcheck compares what each rank called.
"""

from commcheck.diagnose.calls import mismatch_rule
from commcheck.model.taxonomy import FixPattern, Symptom

RULE = mismatch_rule(
    cause="collective-order-mismatch",
    code="CC201",
    title="The ranks call different collectives",
    kinds=("op", "order"),
    says="calls {mine} where the others call {theirs}",
    pattern=FixPattern.BEHAVIOR_LOGIC,
    advice="make every rank issue the same collectives in the same order",
    shows=(Symptom.PERF_HANG,),
)
