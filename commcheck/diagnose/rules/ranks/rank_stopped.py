"""A rank's process is stopped, not dead: it holds its connections and does nothing.

**What you see.** Everybody hangs; nothing is logged, no connection breaks, no process is missing.

**Why it happens.** SIGSTOP from a debugger, a suspended job (Ctrl-Z, `scontrol suspend`), a frozen container.

**How to fix.** Continue it.

**How to confirm.** `ps -o pid,stat,cmd` shows T.
"""

from __future__ import annotations

from commcheck.diagnose.ending import FOLLOWS
from commcheck.diagnose.view import evidence, names, phase_of_end, symptom_in
from commcheck.model.base import sentence
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A live process in state T."""
    stopped = [r for r in case.ranks if r.process is not None and r.process.stopped]
    if not stopped:
        return None
    phase = phase_of_end(stopped[0])
    pids = " ".join(str(r.pid) for r in stopped)
    waiting = [r for r in case.ranks if r not in stopped and r.process is not None][:4]
    return Match(
        symptom=symptom_in(phase, hang=True),
        title=sentence(names(stopped), f"is stopped (SIGSTOP) in phase {phase.value}"),
        confidence=0.97,
        ranks=names(stopped),
        hosts=tuple(dict.fromkeys(r.host for r in stopped)),
        evidence=(
            *(
                evidence(
                    EvidenceKind.FACT,
                    f"process {r.pid} is in state {r.process.state if r.process else '?'}",
                    r,
                    "/proc",
                )
                for r in stopped[:6]
            ),
            *(evidence(EvidenceKind.PHASE, f"waits in phase {phase_of_end(r).value}", r) for r in waiting),
        ),
        fixes=(
            Fix(
                pattern=FixPattern.BEHAVIOR_LOGIC,
                text="let the stopped process go on",
                commands=(f"kill -CONT {pids}",),
                applies_to_ranks=names(stopped),
            ),
        ),
    )


RULE = Rule(
    cause="rank-stopped",
    code="CC174",
    title="A rank is stopped",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.PERF_HANG, Symptom.PREP_HANG_TIMEOUT),
    fixes=((FixPattern.BEHAVIOR_LOGIC, "let the stopped process go on"),),
    match=match,
    explains=FOLLOWS,
    needs=("ranks",),
)
