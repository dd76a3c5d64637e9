"""Two processes claim the same rank.

**What you see.** Two ranks 0: one dies of `EADDRINUSE`, which looks like a taken port, the other waits for clients. Two
of another rank: the store counts them as two, and the group never forms, or forms with the wrong one.

**Why it happens.** RANK is set from a node number or hard-coded, one torchrun per task instead of per node.

**How to fix.** Give each process its own RANK, from 0 to WORLD_SIZE - 1.

**How to confirm.** Print RANK on every process.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, said, started
from commcheck.model.base import sentence
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A RANK that occurs more than once."""
    by_rank: dict[int, list[RankRecord]] = {}
    for r in started(case):
        if r.rank is not None:
            by_rank.setdefault(r.rank, []).append(r)
    twice = {rank: there for rank, there in by_rank.items() if len(there) > 1}
    if not twice:
        return None
    seen: list[Evidence] = []
    for rank, there in twice.items():
        pids = ", ".join(f"{r.pid} (process {r.slot}) on {r.host or 'this host'}" for r in there)
        seen.append(evidence(EvidenceKind.FACT, f"RANK={rank} in processes {pids}", there[0], "environment"))
        for r in there:
            line = said(r, "EADDRINUSE", "address already in use")
            if line:
                seen.append(evidence(EvidenceKind.LOG, line.strip()[:300], r, "stderr"))
    erred = any(r.error is not None for r in started(case))
    return Match(
        symptom=Symptom.SETUP_FAILURE if erred else Symptom.SETUP_HANG_TIMEOUT,
        title=sentence(twice, "exists more than once"),
        confidence=0.97,
        ranks=tuple(sorted(twice)),
        hosts=tuple(dict.fromkeys(r.host for there in twice.values() for r in there)),
        evidence=tuple(seen),
        fixes=_renumbered(case, twice),
    )


def _renumbered(case: Case, twice: dict[int, list[RankRecord]]) -> tuple[Fix, ...]:
    """Where exactly as many numbers are free as processes are too many, the later ones take them."""
    size = case.world.size if case.world else len(case.ranks)
    free = sorted(set(range(size)) - {r.rank for r in started(case)})
    spare = [r for there in twice.values() for r in there[1:]]
    if len(free) != len(spare):
        return (
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text="give each process a RANK of its own",
                applies_to_ranks=names(spare),
            ),
        )
    numbers = {str(r.slot): {"RANK": str(n)} for r, n in zip(spare, free, strict=True)}
    text = "; ".join(f"RANK={n} in process {r.slot}" for r, n in zip(spare, free, strict=True))
    return (
        Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=f"give each process a RANK of its own: {text}",
            rank_set=numbers,
        ),
    )


RULE = Rule(
    cause="rank-duplicate",
    code="CC118",
    title="Two processes claim the same rank",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "give each process a RANK of its own"),),
    match=match,
    explains=(
        "port-in-use",
        "stale-store",
        "rank-missing",
        "port-refused",
        "port-dropped",
        "collective-missing-rank",
        "rank-exited",
        "rank-crashed",
        "wrong-service-on-port",
    ),
    needs=("ranks",),
)
