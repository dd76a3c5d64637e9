"""A store of an earlier or another job still listens on the store's port.

**What you see.** Rank 0 dies of `EADDRINUSE`; worse, the other ranks may have joined the old store and read its keys.

**Why it happens.** A job that was killed left its rank 0 behind; two jobs use the same fixed port on one host.

**How to fix.** Use another MASTER_PORT, or end the old process.

**How to confirm.** `ss -ltnp 'sport = :PORT'` names a python process that is older than this job.
"""

from __future__ import annotations

from commcheck.diagnose.rules.rendezvous.port_in_use import taken
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Rank 0 could not bind, and what listens there answers as a PyTorch store."""
    return taken(case, by_store=True)


RULE = Rule(
    cause="stale-store",
    code="CC131",
    title="A store of another job listens on the store's port",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "use another MASTER_PORT, or end the old job"),),
    match=match,
    explains=("port-in-use", "wrong-service-on-port", "rank-missing", "port-refused"),
    needs=("ranks",),
)
