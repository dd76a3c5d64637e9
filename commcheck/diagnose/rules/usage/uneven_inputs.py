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

from msgspec.structs import replace

from commcheck.diagnose.calls import STEP, difference, matched
from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.view import evidence, world_failed
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

ADVICE = "Give every rank the same number of batches: DistributedSampler, drop_last=True, repeat()."


def match(case: Case) -> Match | None:
    """Some ranks have come to what follows their last step while others make one more."""
    found = difference(case)
    if found is None or found.kind != "batches" or not world_failed(case):
        return None
    steps = {r.slot: sum(c.op == STEP for c in r.collectives) for r in (*found.guilty, *found.innocent)}
    fewer, more = steps[found.guilty[0].slot], max(steps[r.slot] for r in found.innocent)
    what = f"{'has' if len(found.guilty) == 1 else 'have'} {fewer} batches, the others at least {more}"
    counted = tuple(
        evidence(EvidenceKind.PHASE, f"has made {steps[r.slot]} steps", r, "journal")
        for r in (*found.guilty[:4], *found.innocent[:4])
    )
    made = matched(case, found, what, FixPattern.BATCH_OR_PARTITION, ADVICE)
    return replace(made, evidence=(*counted, *made.evidence))


RULE = Rule(
    cause="uneven-inputs",
    code="CC211",
    title="Ranks have different numbers of batches",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.PREP_ITERATION_FAILURE,
        Symptom.PERF_HANG,
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PREP_OTHER,
    ),
    fixes=(
        (FixPattern.BATCH_OR_PARTITION, ADVICE),
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
    match=match,
    explains=(*PEERS_SEE, "rank-crashed", "wrong-values"),
    needs=("ranks",),
)
