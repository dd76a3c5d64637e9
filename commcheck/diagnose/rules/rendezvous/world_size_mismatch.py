"""The ranks disagree about the size of the world.

**What you see.** The ranks that believe in the larger world wait (`wait timeout ... keys: ...`), the others fail in
`connectFullMesh` much later; nobody names the number.

**Why it happens.** WORLD_SIZE is computed per host from a GPU count or a host list that is not the same everywhere.

**How to fix.** Give all ranks the same WORLD_SIZE: the number of processes that are started.

**How to confirm.** Print WORLD_SIZE on every rank.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Origin
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Different WORLD_SIZE values, or one value that is not the number of processes started."""
    there = [r for r in started(case) if r.world_size is not None]
    sizes = [r.world_size for r in there]
    if not there:
        return None
    ours = case.origin is Origin.WORLD
    count = len(case.ranks) if ours or (case.complete and len(case.ranks) > 1) else None
    differ = len(set(sizes)) > 1
    # Where others start the ranks, fewer reports than the size all agree on are missing ranks, not a wrong size.
    if not differ and (not ours or sizes[0] == count or len({r.rank for r in there}) < len(there)):
        return None
    right = (
        count
        if count is not None and (count in sizes or not differ)
        else max(sorted(set(sizes), key=str), key=sizes.count)
    )
    wrong = [r for r in there if r.world_size != right]
    seen = [evidence(EvidenceKind.FACT, f"WORLD_SIZE={r.world_size}", r, "environment") for r in wrong[:8]]
    others = [r for r in there if r.world_size == right]
    if others:
        seen.append(evidence(EvidenceKind.FACT, f"WORLD_SIZE={right}", others[0], "environment"))
    if count is not None:
        seen.append(evidence(EvidenceKind.FACT, f"{count} processes were to be started"))
    told = ", ".join(sorted({str(r.world_size) for r in wrong}))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"WORLD_SIZE is {told} on {ranks_text(names(wrong))}, but the world has {right} ranks",
        confidence=0.96 if differ else 0.85,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"give every rank the number of processes: WORLD_SIZE={right}",
                set={"WORLD_SIZE": str(right)},
                applies_to_ranks=names(wrong),
            ),
        ),
    )


RULE = Rule(
    cause="world-size-mismatch",
    code="CC119",
    title="The ranks disagree about the size of the world",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.SETUP_HANG_TIMEOUT,
        Symptom.SETUP_FAILURE,
        Symptom.PREP_MODEL_LOADING_FAILURE,
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
    ),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "give all ranks the same WORLD_SIZE"),),
    match=match,
    explains=(
        "rank-missing",
        "env-conflict",
        "env-differs-between-ranks",
        "collective-missing-rank",
        "rank-out-of-range",
        "data-ports-refused",
        "rank-exited",
        "rank-crashed",
        "port-refused",
    ),
    needs=("ranks",),
)
