"""A rank's process ended by itself before the world was done.

**What you see.** The others hang, or report `Connection closed by peer` / `Connection reset by peer`; the launcher prints
ChildFailedError with whichever exit it saw first.

**Why it happens.** The script calls exit, returns early on one rank (an empty shard, a missing file), or a wrapper ends it.

**How to fix.** Look at that rank's own last output; the other ranks' errors are consequences.

**How to confirm.** The exit code and the last lines of that rank alone.
"""

from __future__ import annotations

from commcheck.diagnose.ending import FOLLOWS, before_the_end, ended_match
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

ADVICE = "look at why this rank's program ended: its own last output says it, the other ranks' errors follow from it"


def match(case: Case) -> Match | None:
    """An exit by code, with no exception reported and the work not done."""
    ended = [r for r in case.ranks if before_the_end(r) and r.exit is not None and r.exit.code is not None]
    if not ended:
        return None
    codes = ", ".join(sorted({str(r.exit.code) for r in ended if r.exit is not None}))
    return ended_match(case, ended, f"ended by itself with exit code {codes}", FixPattern.BEHAVIOR_LOGIC, ADVICE)


RULE = Rule(
    cause="rank-exited",
    code="CC170",
    title="A rank ended before the world was done",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.SETUP_FAILURE,
        Symptom.PREP_COMMUNICATION_ERROR,
        Symptom.TRAIN_OTHER_FAILURE,
    ),
    fixes=((FixPattern.BEHAVIOR_LOGIC, ADVICE),),
    match=match,
    explains=FOLLOWS,
    needs=("ranks",),
)
