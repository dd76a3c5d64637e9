"""The ranks bring tensors of different sizes to one collective.

**What you see.** `Received data size doesn't match expected size. Is there a distributed collective mismatch in your
code?` and an abort on the innocent rank; `Connection reset by peer` on the guilty one.

**Why it happens.** An uneven last batch, a vocabulary or model of another size on one rank.

**How to fix.** Give the tensor the same shape on every rank (pad, or gather the sizes first).

**How to confirm.** TORCH_DISTRIBUTED_DEBUG=DETAIL names many of these mismatches (not a differing reduce operation,
and not two equal calls in another order); commcheck compares what each rank called.
"""

from commcheck.diagnose.calls import mismatch_rule
from commcheck.model.taxonomy import FixPattern, Symptom

RULE = mismatch_rule(
    cause="collective-shape-mismatch",
    code="CC202",
    title="The ranks bring tensors of different sizes to one collective",
    kinds=("shape",),
    says="brings {mine}, the others {theirs}",
    pattern=FixPattern.DISTRIBUTED_API_USAGE,
    advice="give the tensor the same shape on every rank (pad, or gather the sizes first)",
    shows=(
        Symptom.TRAIN_TENSOR_MISMATCH,
        Symptom.TRAIN_SEGMENTATION_FAULT,
        Symptom.PREP_MODEL_LOADING_FAILURE,
    ),
)
