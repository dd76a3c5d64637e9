"""What answers on the store's port is no PyTorch store.

**What you see.** `Connection reset by peer`, `recvValue failed`, or silence: the client has connected to a stranger.

**Why it happens.** MASTER_PORT is the port of ssh, a web server, the scheduler; a load balancer answers for the host.

**How to fix.** Use a port of your own, and MASTER_ADDR of rank 0's host itself.

**How to confirm.** `nc HOST PORT` greets you, or hangs up when you type.
"""

from __future__ import annotations

from commcheck.diagnose.advice import another_port
from commcheck.diagnose.view import evidence, master_probe, names, started, store_listens
from commcheck.model.case import Case, Outcome
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Our own connection succeeded, and the store's own question was not answered."""
    met = [
        r
        for r in started(case)
        if (p := master_probe(r)) is not None and p.outcome is Outcome.OK and "no PyTorch store" in p.detail
    ]
    if not met:
        return None
    probe = master_probe(met[0])
    assert probe is not None
    other = another_port(case)
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"use a port of your own for the store: MASTER_PORT={other}",
        set={"MASTER_PORT": other},
    )
    return Match(
        symptom=Symptom.SETUP_FAILURE if any(r.error for r in met) else Symptom.SETUP_HANG_TIMEOUT,
        title=f"What answers on {probe.target} port {probe.port} is no PyTorch store",
        # With the store well elsewhere, somebody redirects this rank alone; that the store was only slow to answer our
        # question is excluded by another rank's probe, which it did answer.
        confidence=0.88 if not store_listens(case) or _store_answers(case) else 0.6,
        ranks=names(met),
        hosts=tuple(dict.fromkeys(r.host for r in met)),
        evidence=tuple(
            evidence(EvidenceKind.PROBE, f"{probe.target} port {probe.port}: {probe.detail}", r, "own connection")
            for r in met[:6]
        ),
        fixes=(fix,) if other else (),
    )


def _store_answers(case: Case) -> bool:
    return any(p is not None and "a PyTorch store answers" in p.detail for p in map(master_probe, started(case)))


RULE = Rule(
    cause="wrong-service-on-port",
    code="CC132",
    title="Another service answers on the store's port",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "use a port of your own for the store"),),
    match=match,
    explains=("rank-missing", "port-refused"),
    needs=("ranks",),
)
