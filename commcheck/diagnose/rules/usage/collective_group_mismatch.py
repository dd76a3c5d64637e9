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

from commcheck.diagnose.calls import signature
from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.view import evidence, names, started, symptom_in
from commcheck.model.base import sentence
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

ADVICE = "Call new_group on every rank in the same order; call collectives of a group on its members only."


def match(case: Case) -> Match | None:
    """Ranks issue the same call as the others, in a group of other ranks."""
    ranks = [r for r in started(case) if r.collectives]
    for index in range(max((len(r.collectives) for r in ranks), default=0)):
        calls = {r.slot: r.collectives[index] for r in ranks if index < len(r.collectives)}
        if len({signature(c) for c in calls.values()}) > 1:
            return None  # what differs there is not the group
        groups = [c.group for c in calls.values()]
        if len(set(groups)) > 1:
            return _match(case, [r for r in ranks if r.slot in calls], index, groups)
    return None


def _match(case: Case, ranks: list[RankRecord], index: int, groups: list[str]) -> Match:
    most = max(sorted(set(groups)), key=groups.count)
    wrong = [r for r in ranks if r.collectives[index].group != most]
    if groups.count(most) * 2 <= len(groups):
        wrong = ranks
    call = ranks[0].collectives[index]
    return Match(
        symptom=symptom_in(call.phase, hang=not any(r.error for r in case.ranks)),
        title=sentence(names(wrong), f"uses another group than the others in {call.op}"),
        confidence=0.9,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(
            evidence(
                EvidenceKind.PHASE,
                f"call {index} is {call.op} of the group of ranks {r.collectives[index].group or 'of the world'}",
                r,
                "journal",
            )
            for r in ranks[:8]
        ),
        fixes=(
            Fix(
                pattern=FixPattern.DISTRIBUTED_API_USAGE,
                text=ADVICE,
                applies_to_ranks=names(wrong),
                not_tried="it is a change of the program",
            ),
        ),
    )


RULE = Rule(
    cause="collective-group-mismatch",
    code="CC210",
    title="Ranks use a group in ways that do not fit",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PERF_HANG,
        Symptom.SETUP_FAILURE,
        Symptom.PREP_HANG_TIMEOUT,
        Symptom.PREP_COMMUNICATION_ERROR,
    ),
    fixes=((FixPattern.DISTRIBUTED_API_USAGE, ADVICE),),
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
    match=match,
    explains=PEERS_SEE,
    needs=("ranks",),
)
