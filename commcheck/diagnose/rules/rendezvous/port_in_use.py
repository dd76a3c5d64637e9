"""Another program listens on the store's port.

**What you see.** Rank 0: `The server socket has failed to listen on any local network address ... EADDRINUSE`. The
others may have connected to the stranger and wait for it.

**Why it happens.** A fixed MASTER_PORT (29500) on a machine that several jobs share; a service on that port.

**How to fix.** Use another port, or end the program that holds it.

**How to confirm.** `ss -ltnp 'sport = :PORT'` on rank 0's host.
"""

from __future__ import annotations

from commcheck.diagnose.advice import another_port
from commcheck.diagnose.view import evidence, foreign_listeners, rank_zero, said
from commcheck.model.case import Case, Listener, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

WORDS = ("EADDRINUSE", "address already in use", "Address already in use")
"""How torch's store and the C library say that a port is taken (torch/csrc/distributed/c10d/socket.cpp, errno)."""


def match(case: Case) -> Match | None:
    """Rank 0 could not bind, and what listens there is no store."""
    return taken(case, by_store=False)


def taken(case: Case, *, by_store: bool) -> Match | None:
    """Rank 0 failed to bind; `by_store` asks for a PyTorch store in its place, else for anything else."""
    zero = rank_zero(case)
    line = said(zero, *WORDS) if zero is not None else ""
    if zero is None or not line:
        return None
    strangers = foreign_listeners(case, zero)
    stores = [x for x in strangers if x.is_store]
    if bool(stores) != by_store:
        return None
    port = zero.environment.get("MASTER_PORT", "")
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=_title(port, strangers, by_store=by_store),
        # Until it is known who listens there, it may be another store, or our own rank started twice.
        confidence=0.95 if strangers else 0.7,
        ranks=(zero.name,),
        hosts=(zero.host,),
        evidence=_seen(zero, line, strangers),
        fixes=_fixes(case, port, strangers),
        next=() if strangers else (f"on rank 0's host: ss -ltnp 'sport = :{port}' (as root, to see the owner)",),
    )


def _title(port: str, strangers: tuple[Listener, ...], *, by_store: bool) -> str:
    if by_store:
        return f"A store of another job still listens on port {port}"
    who = next((x.command for x in strangers if x.command), "")
    return f"Port {port} is taken by another program" + (f": {who[:80]}" if who else "")


def _seen(zero: RankRecord, line: str, strangers: tuple[Listener, ...]) -> tuple[Evidence, ...]:
    seen = [evidence(EvidenceKind.LOG, line.strip()[:300], zero, "stderr")]
    for x in strangers:
        owner = f"process {x.pid} ({x.command[:120]})" if x.pid else "a process that is not visible to us"
        kind = "answers as a PyTorch store" if x.is_store else "does not answer as a PyTorch store"
        seen.append(
            evidence(EvidenceKind.SOCKET, f"{x.address}:{x.port} is held by {owner}; it {kind}", zero, "/proc/net/tcp")
        )
    return tuple(seen)


def _fixes(case: Case, port: str, strangers: tuple[Listener, ...]) -> tuple[Fix, ...]:
    other = another_port(case)
    fixes = (
        [
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"use a port that is free on rank 0's host: MASTER_PORT={other}",
                set={"MASTER_PORT": other},
            )
        ]
        if other
        else []
    )
    pids = [str(x.pid) for x in strangers if x.pid]
    if pids:
        fixes.append(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text=f"or end the program that holds port {port}",
                commands=(f"kill {' '.join(pids)}",),
                applies_to_ranks=(0,),
            )
        )
    return tuple(fixes)


RULE = Rule(
    cause="port-in-use",
    code="CC130",
    title="Another program listens on the store's port",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "use another MASTER_PORT"),),
    match=match,
    explains=("wrong-service-on-port", "rank-missing", "port-refused", "port-dropped"),
    needs=("ranks",),
)
