"""Connection attempts to the store's port are refused although the store listens: something on the way rejects them.

**What you see.** The same `client socket has timed out` sentence as for a dropped port, after retries.

**Why it happens.** A firewall that rejects (REJECT with a TCP reset) instead of dropping; a proxy; a container that
does not publish the port.

**How to fix.** Open the port towards the other hosts, or use one that is open.

**How to confirm.** `nc -vz HOST PORT` says "refused" from the rank's host and succeeds on rank 0's own host.
"""

from __future__ import annotations

from commcheck.diagnose.rules.rendezvous.port_dropped import guarded, open_or_change
from commcheck.diagnose.view import evidence, master_probe, names, rank_zero, started, store_listens
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Origin, Outcome
from commcheck.model.diagnosis import EvidenceKind, Link, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Our own attempt is refused while the kernel shows rank 0's listener, or while nothing is known of rank 0."""
    blocked = [r for r in started(case) if (p := master_probe(r)) is not None and p.outcome is Outcome.REFUSED]
    zero = rank_zero(case)
    listening = store_listens(case)
    if not blocked or (zero is not None and not listening) or (zero is None and case.origin is Origin.WORLD):
        return None
    probe = master_probe(blocked[0])
    assert probe is not None
    seen = [
        evidence(
            EvidenceKind.PROBE, f"{p.target} port {p.port}: {p.detail or 'Connection refused'}", r, "own connection"
        )
        for r in blocked[:6]
        if (p := master_probe(r)) is not None
    ]
    if zero is not None:
        text = f"rank 0 listens on port {probe.port}: the refusal does not come from it"
        seen.append(evidence(EvidenceKind.SOCKET, text, zero, "/proc/net/tcp"))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"Connections of {ranks_text(names(blocked))} to the store's port {probe.port} on {probe.target} are refused"
        + (" by something on the way" if listening else ""),
        confidence=0.95 if listening else 0.35,
        ranks=guarded(case, blocked),
        hosts=tuple(dict.fromkeys(r.host for r in case.ranks if r.name in guarded(case, blocked))),
        links=tuple(Link(source=r.host, target=zero.host if zero else probe.target, port=probe.port) for r in blocked),
        evidence=tuple(seen),
        fixes=open_or_change(case, probe.port),
        next=() if listening else (f"does rank 0 run on {probe.target}, and with MASTER_PORT={probe.port}?",),
    )


RULE = Rule(
    cause="port-refused",
    code="CC116",
    title="Connections to the store's port are refused",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=(
        (FixPattern.NETWORK_SETTING, "open the port on rank 0's host"),
        (FixPattern.COMMUNICATION_CONFIGURATION, "use another MASTER_PORT"),
    ),
    match=match,
    explains=("rank-missing",),
    needs=("ranks",),
)
