"""A rank's process was killed by a signal from outside.

**What you see.** The others hang or report resets; exit code -9 or 137, -15 or 143.

**Why it happens.** A scheduler's time or memory limit, an administrator, a supervisor that restarts the node's services.

**How to fix.** Ask who sent it: the scheduler's log, `dmesg`, the container's events.

**How to confirm.** `journalctl -k | grep -i kill`; `sacct -j JOB --format=State,ExitCode`.
"""

from __future__ import annotations

import signal

from commcheck.diagnose.ending import FOLLOWS, before_the_end, ended_match
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU, signal.SIGUSR2)
UNSEEN = "find out who sent the signal (scheduler, container, administrator)"
"""Of a log, which does not count what the kernel's memory killer did."""
ADVICE = f"{UNSEEN}; it was not the kernel's memory killer"


def match(case: Case) -> Match | None:
    """An end by one of the signals that others send, without a count of the out-of-memory killer."""
    ended = [
        r
        for r in case.ranks
        if before_the_end(r) and r.exit is not None and r.exit.signal in OUTSIDE and not r.exit.oom
    ]
    if not ended:
        return None
    name = signal.Signals(ended[0].exit.signal).name if ended[0].exit and ended[0].exit.signal else "a signal"
    return ended_match(case, ended, f"was killed by {name}", FixPattern.MEMORY_OR_CORE_SETTING, ADVICE)


RULE = Rule(
    cause="rank-killed",
    code="CC171",
    title="A rank was killed",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.SETUP_FAILURE,
        Symptom.PREP_COMMUNICATION_ERROR,
        Symptom.TRAIN_OTHER_FAILURE,
        Symptom.PREP_DATA_LOADING_FAILURE,
        Symptom.TRAIN_OUT_OF_MEMORY,
    ),
    fixes=((FixPattern.MEMORY_OR_CORE_SETTING, UNSEEN),),
    match=match,
    explains=FOLLOWS,
    needs=("ranks",),
)
