"""A rank of the world was never started, or cannot be found.

**What you see.** Without rank 0: every client socket times out. Without another rank: rank 0 says after minutes
`Timed out ... waiting for clients. 1/2 clients joined`, the others wait in silence.

**Why it happens.** A host did not get its task, a launch script failed on one node, WORLD_SIZE counts a rank too many.

**How to fix.** Start the missing rank, or lower WORLD_SIZE to the ranks that there are.

**How to confirm.** Count the processes on each host; compare with WORLD_SIZE.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, in_phase, master_probe, names, started, world_failed
from commcheck.model.case import Case, Origin, Outcome
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.phase import Phase
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

_SHOWN = 12


def match(case: Case) -> Match | None:
    """Numbers below the world size that no started process claims, once no further process can appear."""
    if case.world is None or not world_failed(case):
        return None
    there = started(case)
    size = case.world.size
    missing = tuple(sorted(set(range(size)) - {r.rank for r in there}))
    claims = {r.world_size for r in there if r.world_size is not None}
    if not missing and len(claims) == 1 and case.origin is Origin.WORLD:
        # Everybody believes in a larger world than was started: the ranks beyond it are missing to them.
        missing = tuple(range(size, max(claims)))
    if not missing or not there:
        return None
    seen: list[Evidence] = []
    waiting = [r for r in there if in_phase(r, Phase.STORE) or in_phase(r, Phase.PROBE)]
    for r in waiting[:6]:
        probe = master_probe(r)
        if 0 in missing and probe is not None and probe.outcome is Outcome.REFUSED:
            text = f"{probe.target} port {probe.port} refuses: nobody listens there"
            seen.append(evidence(EvidenceKind.PROBE, text, r, "own connection"))
        else:
            seen.append(evidence(EvidenceKind.PHASE, "waits in the store phase for the others", r))
    shown = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
    seen.append(
        evidence(
            EvidenceKind.FACT, f"{len(there)} of {max(claims | {size})} ranks are there; no process claims {shown}"
        )
    )
    start = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"start rank {shown}: look at why its launch failed, or whether it waits on its host",
        not_tried="commcheck does not know how your launcher starts it",
        applies_to_ranks=missing,
    )
    confident = case.complete and (case.origin is Origin.WORLD or len(there) > 1)
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"Rank {shown} is missing",
        confidence=0.9 if confident else 0.5 if case.complete else 0.3,
        ranks=missing,
        evidence=tuple(seen),
        fixes=(start, *_smaller(len(there), names(there), case)),
    )


def _smaller(count: int, present: tuple[int, ...], case: Case) -> tuple[Fix, ...]:
    """The world without them, where the ranks that are there already number from 0."""
    if present != tuple(range(count)) or case.world is None:
        return ()
    return (
        Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=f"or go on with the ranks that are there: WORLD_SIZE={count}",
            set={"WORLD_SIZE": str(count)},
        ),
    )


RULE = Rule(
    cause="rank-missing",
    code="CC117",
    title="A rank was never started",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "start the missing rank, or lower WORLD_SIZE"),),
    match=match,
    explains=("store-timeout-too-short", "wrong-service-on-port"),
    needs=("ranks",),
)
