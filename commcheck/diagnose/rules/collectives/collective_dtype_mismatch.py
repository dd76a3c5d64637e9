"""The ranks bring tensors of different types to one collective.

**What you see.** Nothing where the types have equally many bytes: the values are garbage on every rank. Otherwise an
abort as for different sizes.

**Why it happens.** Mixed precision on some ranks, a default dtype that differs, an integer where others have a
float.

**How to fix.** Give the tensor the same dtype on every rank.

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation,
and not two equal calls in another order); commcheck compares what each rank called.
"""

from commcheck.diagnose.calls import mismatch_rule
from commcheck.model.taxonomy import FixPattern, Symptom

RULE = mismatch_rule(
    cause="collective-dtype-mismatch",
    code="CC203",
    title="The ranks bring tensors of different types to one collective",
    kinds=("dtype",),
    says="brings {mine}, the others {theirs}",
    pattern=FixPattern.DISTRIBUTED_API_USAGE,
    advice="give the tensor the same dtype on every rank",
    shows=(Symptom.TRAIN_TENSOR_MISMATCH,),
)
