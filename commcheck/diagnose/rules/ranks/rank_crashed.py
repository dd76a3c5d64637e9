"""A rank's process crashed: segmentation fault, bus error, abort.

**What you see.** Exit code -11 or 139 (-6 or 134 for an abort); the others hang or report resets.

**Why it happens.** Mixed library versions, a broken extension, a full /dev/shm (bus error).

**How to fix.** Make versions equal on all hosts; run that rank alone under `python -X faulthandler` or gdb.

**How to confirm.** The stack that faulthandler prints; `coredumpctl`.
"""

from __future__ import annotations

import signal

from commcheck.diagnose.ending import FOLLOWS, aborted_by_gloo, before_the_end, ended_match
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS)
ADVICE = "look at the stack of the crash; make the libraries' versions equal on all hosts"


def match(case: Case) -> Match | None:
    """An end by a signal of the process's own making, unless gloo aborted it for another rank's mistake."""
    ended = [
        r
        for r in case.ranks
        if before_the_end(r) and r.exit is not None and r.exit.signal in CRASHES and not aborted_by_gloo(r)
    ]
    if not ended:
        return None
    number = ended[0].exit.signal if ended[0].exit is not None else None
    name = signal.Signals(number).name if number else "a signal"
    return ended_match(
        case,
        ended,
        f"crashed with {name}",
        FixPattern.DEPENDENCY_VERSION,
        ADVICE,
        crash=Symptom.TRAIN_SEGMENTATION_FAULT,
    )


RULE = Rule(
    cause="rank-crashed",
    code="CC173",
    title="A rank crashed",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.TRAIN_SEGMENTATION_FAULT,
        Symptom.SETUP_FAILURE,
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.PREP_DATA_LOADING_FAILURE,
        Symptom.PREP_COMMUNICATION_ERROR,
    ),
    fixes=((FixPattern.DEPENDENCY_VERSION, ADVICE),),
    match=match,
    explains=FOLLOWS,
    needs=("ranks",),
)
