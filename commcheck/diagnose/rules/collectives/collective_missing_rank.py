"""A rank does not take part in a collective.

**What you see.** The others hang in the collective until its timeout; with more calls behind it, they pair wrongly.

**Why it happens.** A collective inside `if rank == 0:`, an early return, uneven numbers of batches.

**How to fix.** Make every rank of the group issue every collective of the group.

**How to confirm.** The Python stacks: all ranks but one are inside the collective.
"""

from __future__ import annotations

from collections.abc import Iterator

from commcheck.diagnose.calls import behind, difference, matched, signature
from commcheck.diagnose.ingest.stacks import standing
from commcheck.diagnose.view import asleep, evidence, names, phase_of_end, started, symptom_in, world_failed
from commcheck.model.base import sentence
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

ADVICE = "make every rank of the group issue every collective of the group"

SURE = 0.8
ASLEEP = 0.6
"""Of a rank that sleeps for a time that it has set itself: it will wake up, so the watch goes on."""


def match(case: Case) -> Match | None:
    """A call that one rank has left out; or ranks that wait in a call while another, alive, has not come to it."""
    found = difference(case)
    if found is not None:
        if found.kind != "skipped":
            return None
        left_out = signature(found.innocent[0].collectives[found.index]) if found.innocent else "a collective"
        return matched(case, found, f"leaves out {left_out}", FixPattern.BEHAVIOR_LOGIC, ADVICE)
    late = behind(case)
    if not late or not world_failed(case):
        return None
    waiting = [r for r in started(case) if r not in late and r.collectives]
    call = waiting[0].collectives[-1] if waiting else None
    return Match(
        symptom=symptom_in(call.phase if call else phase_of_end(late[0]), hang=True),
        title=sentence(names(late), f"does not take part in {signature(call) if call else 'a collective'}"),
        confidence=ASLEEP if all(map(asleep, late)) else SURE,
        ranks=names(late),
        hosts=tuple(dict.fromkeys(r.host for r in late)),
        evidence=(
            *(piece for r in late[:4] for piece in _doing(r)),
            *(
                evidence(EvidenceKind.PHASE, f"waits in call {r.collectives[-1].index}", r, "journal")
                for r in waiting[:4]
            ),
        ),
        fixes=(
            Fix(
                pattern=FixPattern.BEHAVIOR_LOGIC,
                text=ADVICE,
                applies_to_ranks=names(late),
                not_tried="it is a change of the program",
            ),
        ),
    )


def _doing(rank: RankRecord) -> Iterator[Evidence]:
    """What a late rank does instead. A recorder counts its calls from 1 and forgets old ones; of a stack alone the calls
    are not known."""
    if rank.collectives or not rank.stack:
        text = f"has issued {len(rank.collectives)} calls and is in none"
        if rank.collectives and rank.collectives[-1].index >= len(rank.collectives):
            text = f"has come back from call {rank.collectives[-1].index} and is in none"
        yield evidence(EvidenceKind.PHASE, text, rank, "journal")
    if rank.stack:
        where = standing(rank.stack)
        # A recorder keeps where a call was made, whether or not it has come back since.
        text = f"is in {rank.stack[0]}, in no collective"
        if where.op:
            text = f"has made its newest call, {where.op}, at {where.at}"
        yield evidence(EvidenceKind.STACK, text, rank)


RULE = Rule(
    cause="collective-missing-rank",
    code="CC205",
    title="A rank does not take part in a collective",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.PERF_HANG,
        Symptom.PREP_HANG_TIMEOUT,
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PREP_COMMUNICATION_ERROR,
    ),
    fixes=((FixPattern.BEHAVIOR_LOGIC, ADVICE),),
    match=match,
    explains=("wrong-values", "rank-crashed"),
    needs=("ranks",),
)
