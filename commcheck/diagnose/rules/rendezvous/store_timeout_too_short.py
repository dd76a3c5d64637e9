"""The store's timeout is shorter than the ranks take to arrive.

**What you see.** `Timed out after N seconds waiting for clients. 1/2 clients joined`, although every rank is well and
comes a little later (a slow import, a container that is still being pulled).

**Why it happens.** `timeout=` of init_process_group was lowered for debugging, or ranks are started one after another.

**How to fix.** Raise the timeout above the time between the first and the last rank; torch's own is 30 minutes.

**How to confirm.** Compare the ranks' start times with the timeout.
"""

from __future__ import annotations

from commcheck.diagnose.view import asleep, data_probes, evidence, names, phase_of_end, said, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Outcome, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.phase import PHASES, Phase
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

DEFAULT_SECONDS = 1800.0
"""torch.distributed.constants.default_pg_timeout."""


def match(case: Case) -> Match | None:
    """A rank gave up at the store while every other process was alive and on its way."""
    if case.world is None or case.world.store_seconds >= DEFAULT_SECONDS:
        return None
    there = started(case)
    gave_up = _gave_up(there, Phase.STORE, Phase.PROBE)
    late = [r for r in there if r not in gave_up and (r.exit is None or r.exit.by_us)]
    if not gave_up and all(p.outcome is Outcome.OK for p in data_probes(case).values()):
        # The group meets at the store too: one that has not come to it, or sleeps before it does, is late as well.
        gave_up = _gave_up(there, Phase.GROUP)
        late = [r for r in late if r not in gave_up and (asleep(r) or phase_of_end(r) in _BEFORE)]
    if not late and gave_up:
        # All gave up: the first was left alone, and who came when its store was gone waited as long in turn.
        first = min(_left(r) for r in gave_up)
        late = [r for r in gave_up if _left(r) - case.world.store_seconds >= first]
        gave_up = [r for r in gave_up if r not in late]
    if not gave_up or len(there) < case.world.size or not late:
        return None
    seconds = case.world.store_seconds
    seen = [
        evidence(EvidenceKind.LOG, said(r, "timed out", "Timed out", "timeout").strip()[:300], r, "stderr")
        for r in gave_up[:4]
    ]
    for r in late[:4]:
        last = r.last_phase
        text = f"was alive, in phase {last.phase.value}" if last else "was alive and had not begun"
        seen.append(evidence(EvidenceKind.PHASE, text, r))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"The store's timeout of {seconds:g} s passed before {ranks_text(names(late))} arrived",
        confidence=0.85,
        ranks=names(late),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"raise the timeout of init_process_group: torch's own is {DEFAULT_SECONDS:g} s",
                args={"timeout": f"{DEFAULT_SECONDS:g}"},
            ),
        ),
    )


_BEFORE = PHASES[: PHASES.index(Phase.GROUP)]


def _gave_up(ranks: tuple[RankRecord, ...], *phases: Phase) -> list[RankRecord]:
    """Those that an exception about time ended in one of `phases`."""
    return [
        r
        for r in ranks
        if r.error is not None and r.error.phase in phases and said(r, "timed out", "Timed out", "timeout")
    ]


def _left(rank: RankRecord) -> float:
    """When a rank that failed came out of its last phase, in seconds since the world's start."""
    last = rank.last_phase
    return 0.0 if last is None else last.begin + last.seconds


RULE = Rule(
    cause="store-timeout-too-short",
    code="CC134",
    title="The store's timeout is shorter than the ranks take to arrive",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "raise the timeout"),),
    match=match,
    needs=("ranks",),
)
