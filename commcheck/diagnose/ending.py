"""How processes ended, and what their peers saw of it. Shared by the rules about ranks. Pure."""

from __future__ import annotations

from commcheck.diagnose.view import died, evidence, names, phase_of_end, said, symptom_in
from commcheck.model.base import sentence
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.phase import Phase
from commcheck.model.taxonomy import FixPattern, Symptom

ABORTED_BY_GLOO = ("EnforceNotMet", "enforce fail")
"""What gloo prints before it aborts the process that notices another's mistake (gloo/common/error.h)."""


def aborted_by_gloo(rank: RankRecord) -> bool:
    """The process noticed a mismatch and was ended by gloo for it: it is not the guilty one."""
    return rank.exit is not None and rank.exit.signal == 6 and bool(said(rank, *ABORTED_BY_GLOO))


def ended_match(
    case: Case, ended: list[RankRecord], what: str, pattern: FixPattern, advice: str, *, crash: Symptom | None = None
) -> Match:
    """The match of ranks that ended in the way that `what` says; the others' resets and waits are consequences."""
    lead = ended[0]
    phase = phase_of_end(lead)
    seen: list[Evidence] = []
    for r in ended[:6]:
        seen.append(
            evidence(
                EvidenceKind.EXIT,
                f"{what} in phase {phase_of_end(r).value} (process {r.pid} on {r.host or 'this host'})",
                r,
            )
        )
        last = [line.text for line in r.output if line.text.strip()][-2:]
        seen += [evidence(EvidenceKind.LOG, text.strip()[:300], r, "last output") for text in last]
    for r in [r for r in case.ranks if r not in ended][:4]:
        if r.error is not None:
            text = (
                f"only then: {r.error.message.splitlines()[0][:400]}"
                if r.error.message
                else f"only then: {r.error.kind}"
            )
            seen.append(evidence(EvidenceKind.LOG, text, r, "consequence"))
        elif not died(r) and not r.finished:
            seen.append(evidence(EvidenceKind.PHASE, f"waits in phase {phase_of_end(r).value}", r))
    return Match(
        symptom=symptom_in(phase, hang=False, error=crash),
        title=sentence(names(ended), f"{what} in phase {phase.value}"),
        confidence=0.95,
        ranks=names(ended),
        hosts=tuple(dict.fromkeys(r.host for r in ended)),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=pattern,
                text=advice,
                applies_to_ranks=names(ended),
                not_tried="it is not a setting of the world",
            ),
        ),
    )


def before_the_end(rank: RankRecord) -> bool:
    """It died before its work was done: an abort after the teardown is noise, not a lost rank."""
    last = rank.last_phase
    return died(rank) and not (
        last is not None and last.phase is Phase.TEARDOWN and rank.exit is not None and rank.exit.signal == 6
    )


FOLLOWS = (
    "rank-missing",
    "port-refused",
    "port-dropped",
    "data-ports-refused",
    "data-ports-dropped",
    "one-way-blocked",
    "collective-missing-rank",
    "store-timeout-too-short",
    "wrong-service-on-port",
    "mtu-mismatch",
    "partition",
)
"""What a dead rank makes of the others."""
