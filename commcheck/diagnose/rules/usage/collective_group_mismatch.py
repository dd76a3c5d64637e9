"""Ranks use a group in ways that do not fit.

**What you see**
`Global rank 3 is not part of group`, `the new group's world size should be less or equal`, `Invalid process
group specified`, or a hang right after new_group on some ranks.

**Why it happens**
new_group must be called by all ranks of the world in the same order, also by those that are not members; a
collective on a group may be called by its members alone.

**How to fix**
Create all groups on all ranks in the same order; guard collectives by membership, and give global ranks where
the function wants them.

**How to confirm**
TORCH_DISTRIBUTED_DEBUG=DETAIL names the group and the rank that differ.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="collective-group-mismatch",
    code="CC210",
    title="Ranks use a group in ways that do not fit",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PERF_HANG,
        Symptom.SETUP_FAILURE,
    ),
    fixes=(
        (
            FixPattern.DISTRIBUTED_API_USAGE,
            "Call new_group on every rank in the same order; call collectives of a group on its members only.",
        ),
    ),
    signatures=(
        Signature(
            pattern=r"(?:[Gg]lobal|[Gg]roup) rank \d+ is not part of (?:the parent )?group",
            literal="is not part of",
            source="pytorch: torch/distributed/distributed_c10d.py, get_group_rank",
            positive="ValueError: Global rank 3 is not part of group <ProcessGroup>",
            negative="rank 3 is part of group",
            weight=0.85,
        ),
        Signature(
            pattern="Invalid process group specified|the new group's world size should be less or equal|[Tt]he (?:split )?group's size should be less or equal|the new group's rank should be within",
            literal="invalid process group | new group | group's size",
            source="pytorch: torch/distributed/distributed_c10d.py",
            positive="ValueError: Invalid process group specified",
            negative="process group created",
            weight=0.8,
        ),
        Signature(
            pattern="Process set provided does not exist|process set .{0,40}(?:not been (?:added|initialized)|does not include)|Invalid process set id",
            literal="process set",
            source="horovod: horovod/common/operations.cc",
            positive="Allreduce: Process set provided does not exist, or has not been initialized.",
            negative="process set 1 added",
            weight=0.8,
        ),
    ),
    explains=PEERS_SEE,
)
