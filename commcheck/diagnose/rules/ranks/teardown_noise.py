"""A rank aborted after its work was done: noise at exit, not a failed collective.

**What you see.** `terminate called without an active exception` and exit code 134 after a right result.

**Why it happens.** The process ended without destroy_process_group, and a thread of the backend was still running.

**How to fix.** Call `torch.distributed.destroy_process_group()` before the end.

**How to confirm.** The last output before the abort is the job's own last line.
"""

from __future__ import annotations

from commcheck.diagnose.errors import own
from commcheck.diagnose.view import evidence, names
from commcheck.model.base import sentence
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.phase import Phase
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """An abort or a non-zero exit in or after the teardown phase, or an error there that only says that others have left."""
    noisy = []
    for r in case.ranks:
        last = r.last_phase
        if r.exit is None or r.exit.by_us or last is None or last.phase is not Phase.TEARDOWN:
            continue
        left_alone = r.error is not None and own(r) is None and any(x.finished for x in case.ranks)
        if r.exit.signal == 6 or (r.finished and r.exit.code != 0) or left_alone:
            noisy.append(r)
    if not noisy:
        return None
    return Match(
        symptom=Symptom.PERF_OTHER,
        title=sentence(names(noisy), "failed at its end, after all collectives were right"),
        confidence=0.85,
        ranks=names(noisy),
        hosts=tuple(dict.fromkeys(r.host for r in noisy)),
        evidence=tuple(
            evidence(
                EvidenceKind.EXIT,
                _end(r),
                r,
            )
            for r in noisy[:6]
        ),
        fixes=(
            Fix(
                pattern=FixPattern.DISTRIBUTED_API_USAGE,
                text="call torch.distributed.destroy_process_group() at the end of the program",
                not_tried="it is a change of the program",
                applies_to_ranks=names(noisy),
            ),
        ),
    )


def _end(rank: RankRecord) -> str:
    if rank.error is not None:
        return f"in phase teardown, when others had left: {rank.error.message.splitlines()[0][:300]}"
    ended = rank.exit
    how = "" if ended is None else f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}"
    return f"{how} in phase teardown"


RULE = Rule(
    cause="teardown-noise",
    code="CC250",
    title="A rank aborted after its work was done",
    stage=Stage.TRAINING,
    symptoms=(Symptom.PERF_OTHER,),
    fixes=((FixPattern.DISTRIBUTED_API_USAGE, "call destroy_process_group at the end"),),
    match=match,
    needs=("ranks",),
)
