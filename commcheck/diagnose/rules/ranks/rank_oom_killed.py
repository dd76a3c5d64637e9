"""The kernel killed a rank because its memory limit was reached.

**What you see.** Exit code -9 or 137 without a word; the others hang or report resets.

**Why it happens.** Too many ranks or loader workers for the host's or container's memory.

**How to fix.** Raise the limit, or use less memory per rank.

**How to confirm.** The counter oom_kill in the control group's memory.events; `dmesg | grep -i oom`.
"""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.diagnose.ending import FOLLOWS, before_the_end, ended_match
from commcheck.diagnose.view import evidence
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

ADVICE = "raise the memory limit of the container or job, or use less memory per rank"


def match(case: Case) -> Match | None:
    """An end by SIGKILL while the out-of-memory counter of its control group rose."""
    ended = [r for r in case.ranks if before_the_end(r) and r.exit is not None and r.exit.oom]
    if not ended:
        return None
    what = "was killed by the kernel for lack of memory"
    found = ended_match(case, ended, what, FixPattern.MEMORY_OR_CORE_SETTING, ADVICE, crash=Symptom.TRAIN_OUT_OF_MEMORY)
    counted = evidence(EvidenceKind.FACT, "the counter oom_kill of its memory control group rose", ended[0], "cgroup")
    return replace(found, evidence=(counted, *found.evidence))


RULE = Rule(
    cause="rank-oom-killed",
    code="CC172",
    title="A rank was killed for lack of memory",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.TRAIN_OUT_OF_MEMORY,
        Symptom.SETUP_FAILURE,
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PREP_DATA_LOADING_FAILURE,
    ),
    fixes=((FixPattern.MEMORY_OR_CORE_SETTING, ADVICE),),
    match=match,
    explains=(*FOLLOWS, "rank-killed"),
    needs=("ranks",),
)
