"""The collectives agree and come back, and their values are wrong.

**What you see.** Nothing: no error, exit code 0. Losses that do not fall, parameters that differ between ranks.

**Why it happens.** Bad memory or a bad link, a broken library build, a rank that contributes other data than it should.

**How to fix.** Take the rank whose contribution is wrong out, and test its host.

**How to confirm.** The all-gather: the part of one rank is wrong on every rank.
"""

from __future__ import annotations

from commcheck.diagnose.calls import difference
from commcheck.diagnose.view import names
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

_OF_TRAINING = ("loss", "weights")
"""What a workload that trains compares; where only they are wrong, the collectives themselves are right."""
ADVICE = "take the host whose contribution is wrong out of the job and test its memory, devices and libraries"


def match(case: Case) -> Match | None:
    """Wrong results although all calls agree."""
    wrong = [(r, c) for r in case.ranks for c in r.checks if not c.ok]
    if not wrong or difference(case) is not None:
        return None
    blamed = [set(c.wrong_slots) for _, c in wrong if c.wrong_slots]
    # The ranks whose part every receiver saw wrong; without an all-gather, only the receivers are known.
    common = set.intersection(*blamed) if blamed else set()
    ranks = tuple(sorted(common)) if common else names(r for r, _ in wrong)
    return Match(
        symptom=Symptom.PERF_NON_CONVERGENCE
        if all(c.op in _OF_TRAINING for _, c in wrong)
        else Symptom.PERF_UNEXPECTED_RESULT,
        title=f"Values come out wrong; {ranks_text(ranks)} {'contribute' if common else 'receive'}{'s' if len(ranks) == 1 else ''} the wrong ones",
        confidence=0.92 if common else 0.75,
        ranks=ranks,
        hosts=tuple(dict.fromkeys(r.host for r in case.ranks if r.name in ranks)),
        evidence=tuple(
            Evidence(kind=EvidenceKind.VALUE, rank=r.name, text=c.detail, source="reference") for r, c in wrong[:6]
        ),
        fixes=(
            Fix(
                pattern=FixPattern.CHANGE_HARDWARE,
                text=ADVICE,
                applies_to_ranks=ranks,
                not_tried="it is not a setting of the world",
            ),
        ),
    )


RULE = Rule(
    cause="wrong-values",
    code="CC206",
    title="The collectives come back with wrong values",
    stage=Stage.TRAINING,
    symptoms=(Symptom.PERF_UNEXPECTED_RESULT, Symptom.PERF_NON_CONVERGENCE),
    fixes=((FixPattern.CHANGE_HARDWARE, ADVICE),),
    match=match,
    needs=("ranks",),
)
