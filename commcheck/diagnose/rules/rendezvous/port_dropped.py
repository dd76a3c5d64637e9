"""A firewall drops what is sent to the store's port: connection attempts stay without any answer.

**What you see.** `The client socket has timed out after ... while trying to connect to (HOST, PORT)` after minutes: the
very sentence that a refused port gives.

**Why it happens.** A host firewall, a cloud security group or a container network lets only named ports in.

**How to fix.** Open the port towards the other hosts, or use one that is open.

**How to confirm.** `ss -tn state syn-sent` on the rank shows the attempt with retransmissions; `nc -vz -w2 HOST PORT` hangs.
"""

from __future__ import annotations

from commcheck.diagnose.advice import another_port
from commcheck.diagnose.view import evidence, master_probe, names, rank_zero, reached, started, store_listens
from commcheck.model.base import ranks_text
from commcheck.model.case import SENT_BACK, Case, Outcome, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Link, Match
from commcheck.model.phase import Phase
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

HOST_IS_UP = "the host itself is up"
"""What our own probe adds to its detail when the silent host shows otherwise that it is there."""


def match(case: Case) -> Match | None:
    """Our own attempt from the rank's place got no answer either."""
    # Where nobody answers for the address at all, no port of it has been tried.
    blocked = [
        r
        for r in started(case)
        if (p := master_probe(r)) is not None and p.outcome is Outcome.TIMED_OUT and not p.unanswered
    ]
    if not blocked:
        return None
    zero = rank_zero(case)
    listening = store_listens(case)
    seen: list[Evidence] = []
    for r in blocked[:6]:
        probe = master_probe(r)
        assert probe is not None
        text = f"no answer from {probe.target} port {probe.port}: {probe.detail}"
        seen.append(evidence(EvidenceKind.PROBE, text, r, "own connection"))
        seen += _waiting(r)
    if zero is not None and listening:
        text = f"rank 0 listens on port {zero.environment.get('MASTER_PORT')}: the store itself is well"
        seen.append(evidence(EvidenceKind.SOCKET, text, zero, "/proc/net/tcp"))
    probe = master_probe(blocked[0])
    assert probe is not None
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"Connections of {ranks_text(names(blocked))} to the store's port {probe.port} on {probe.target} are dropped",
        confidence=0.95 if listening else 0.9 if HOST_IS_UP in probe.detail else 0.6,
        ranks=guarded(case, blocked),
        hosts=tuple(dict.fromkeys(r.host for r in case.ranks if r.name in guarded(case, blocked))),
        links=tuple(Link(source=r.host, target=zero.host if zero else probe.target, port=probe.port) for r in blocked),
        evidence=tuple(seen),
        fixes=open_or_change(case, probe.port),
        consequence=listening and _sent_back(case, probe.port),  # then port-refused says it
        next=()
        if listening
        else (f"on {probe.target}: does anything listen on port {probe.port} (ss -ltn), and is the host up?",),
    )


def _sent_back(case: Case, port: int) -> bool:
    """Others are told that a firewall rejects that port. The kernel says so only now and then (icmp_ratelimit: once a second to
    each, icmp(7)), and is silent otherwise: it is one firewall."""
    return any(
        probe.outcome is Outcome.REFUSED and probe.port == port and probe.detail.endswith(SENT_BACK)
        for r in started(case)
        if (probe := master_probe(r)) is not None
    )


def guarded(case: Case, blocked: list[RankRecord]) -> tuple[int, ...]:
    """Whose firewall it is: rank 0's host, when nobody from another host comes through, or fewer hosts do than do not
    (what lets in is set at the host that is entered); else the hosts that cannot, while others can."""
    zero = rank_zero(case)
    host = zero.host if zero is not None else ""
    through = {r.host for r in started(case) if r.rank != 0 and r.host != host and reached(r, Phase.STORE)}
    return names(blocked) if len(through) >= len({r.host for r in blocked}) else (0,)


def _waiting(rank: RankRecord) -> list[Evidence]:
    rows = [s for s in rank.sockets if s.state == "SYN-SENT"]
    return [
        evidence(
            EvidenceKind.SOCKET,
            f"SYN-SENT to {s.remote_address}:{s.remote_port}, {s.retransmits} retransmission(s), no answer",
            rank,
            "/proc/net/tcp",
        )
        for s in rows[:1]
    ]


def open_or_change(case: Case, port: int) -> tuple[Fix, ...]:
    """Another port, or this one opened."""
    other = another_port(case)
    changed = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"use a port that the firewall lets through: MASTER_PORT={other}",
        set={"MASTER_PORT": other},
    )
    opened = Fix(
        pattern=FixPattern.NETWORK_SETTING,
        text=f"open port {port} on rank 0's host for the other hosts",
        commands=(
            f"sudo nft insert rule inet filter input tcp dport {port} accept   # or: sudo iptables -I INPUT -p tcp --dport {port} -j ACCEPT",
        ),
        applies_to_ranks=(0,),
    )
    return (changed, opened) if other else (opened,)


RULE = Rule(
    cause="port-dropped",
    code="CC115",
    title="A firewall drops what is sent to the store's port",
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
