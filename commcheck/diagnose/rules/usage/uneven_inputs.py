"""Ranks have different numbers of batches.

**What you see**
Some ranks leave the epoch while others wait in a collective for them: a hang or timeout at an epoch's end;
`Detected at least one rank that exhausted inputs`, TensorFlow's `OutOfRangeError: End of sequence`, `Your input
ran out of data`.

**Why it happens**
The data set does not divide by the number of ranks times the batch, or a loader drops samples on some ranks
only.

**How to fix**
Use a sampler that gives every rank the same number of batches (DistributedSampler, drop_last=True), or torch's
Join context.

**How to confirm**
Print len(loader) on every rank: the numbers must be equal.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="uneven-inputs",
    code="CC211",
    title="Ranks have different numbers of batches",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.PREP_ITERATION_FAILURE,
        Symptom.PERF_HANG,
        Symptom.TRAIN_COMMUNICATION_ERROR,
    ),
    fixes=(
        (
            FixPattern.BATCH_OR_PARTITION,
            "Give every rank the same number of batches: DistributedSampler, drop_last=True, repeat().",
        ),
        (FixPattern.DISTRIBUTED_API_USAGE, "Wrap the loop into torch.distributed.algorithms.Join."),
    ),
    signatures=(
        Signature(
            pattern="Detected at least one rank that exhausted inputs",
            literal="rank that exhausted inputs",
            source="pytorch: torch/nn/parallel/distributed.py, Join",
            positive="RuntimeError: Detected at least one rank that exhausted inputs. Throwing across all ranks.",
            negative="inputs exhausted on all ranks",
            weight=0.85,
        ),
        Signature(
            pattern="OutOfRangeError.{0,80}End of sequence|[Yy]our (?:dataset|input) (?:iterator )?ran out of data",
            literal="end of sequence | ran out of data",
            source="tensorflow: tensorflow/core/kernels/data; keras",
            positive="WARNING:tensorflow:Your input ran out of data; interrupting training.",
            negative="the sequence ended",
            weight=0.6,
        ),
        Signature(
            pattern="passing the uneven inputs|uneven inputs? (?:detected|across ranks)",
            literal="uneven input",
            source="pytorch: torch/distributed/algorithms/join.py",
            positive="uneven inputs detected on rank 3",
            negative="even inputs",
            weight=0.7,
        ),
    ),
    explains=PEERS_SEE,
)
