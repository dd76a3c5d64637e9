"""A rank offers an address that the other hosts cannot reach: docker0, a virtual bridge, a private link.

**What you see.** `connectFullMesh failed` with a timeout, no route, or a refusal, from ranks whose own settings are right.

**Why it happens.** The interface named (or the one that the host name stands for) belongs to a network of this host
alone. Container bridges have the same address on every host, so that a peer even connects to itself. A host behind an
address translation (NAT) reaches the others, and its own address means nothing to them.

**How to fix.** Name an interface in a network that all hosts share. Behind a NAT there is none: put the hosts into one
network (a VPN, an overlay), or run the ranks on one side.

**How to confirm.** From another host, `ip route get ADDRESS` leads elsewhere.
"""

from __future__ import annotations

from commcheck.diagnose.advice import common_networks
from commcheck.diagnose.choosing import mended
from commcheck.diagnose.linking import UNSETTLED, settled, silent
from commcheck.diagnose.view import (
    Network,
    addresses,
    by_nccl,
    data_probes,
    evidence,
    interface_of,
    loopback,
    named_interface,
    names,
    networks,
    parse,
    probes_to,
    published,
    rank_zero,
    several_hosts,
    started,
    world_failed,
)
from commcheck.model.base import sentence
from commcheck.model.case import Case, Outcome, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A published address outside all networks that the hosts share, while there is such a network, that peers could
    not reach; or one that another host has too; or one behind a NAT."""
    if not several_hosts(case):
        return None
    shared = common_networks(case)
    wrong = [r for r in started(case) if _stray(case, r, shared)] if shared else []
    hidden = [] if wrong else [r for r in started(case) if _hidden(case, r)]
    if not wrong and not hidden:
        return None
    seen = _offers(case, (wrong or hidden)[:6]) + _attempts(case, names(wrong or hidden))
    if hidden:
        return _behind_nat(case, hidden, seen)
    networks_shown = ", ".join(str(n) for n in shared)
    seen.append(evidence(EvidenceKind.FACT, f"the hosts share {networks_shown}"))
    first = interface_of(case, wrong[0], published(wrong[0]))
    return Match(
        symptom=Symptom.SETUP_FAILURE if world_failed(case) else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=sentence(
            names(wrong),
            f"offers {published(wrong[0])} ({first.name if first else '?'}), which the other hosts cannot reach",
        ),
        # Who else offers such an address is known when all have said theirs, and been tried.
        confidence=UNSETTLED if silent(case) else settled(case, 0.94),
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(seen[:12]),
        fixes=mended(case, tuple(wrong)),
    )


def _offers(case: Case, wrong: list[RankRecord]) -> list[Evidence]:
    seen = []
    for r in wrong:
        interface = interface_of(case, r, published(r))
        chosen = "NCCL" if by_nccl(r) else "GLOO_SOCKET_IFNAME" if named_interface(r) else "its host name"
        text = f"offers {published(r)} ({interface.name if interface else 'unknown interface'}, chosen by {chosen})"
        seen.append(evidence(EvidenceKind.FACT, text, r, "interfaces"))
    return seen


def _attempts(case: Case, wrong: tuple[int, ...]) -> list[Evidence]:
    return [
        Evidence(
            kind=EvidenceKind.PROBE,
            rank=source,
            text=f"{p.target}: {p.outcome.value} {p.detail}",
            source="own connection",
        )
        for (source, target), p in data_probes(case).items()
        if target in wrong and p.outcome is not Outcome.OK
    ]


def _behind_nat(case: Case, hidden: list[RankRecord], seen: list[Evidence]) -> Match:
    """The match of ranks that reach the others from an address which the others cannot reach."""
    for (source, target), p in data_probes(case).items():
        if source in names(hidden) and target not in names(hidden) and p.outcome is Outcome.OK:
            text = f"rank {source} to rank {target}: works"
            seen.append(Evidence(kind=EvidenceKind.PROBE, rank=source, text=text, source="own connection"))
    for r in hidden[:4]:
        outside = _seen_as(case, r)
        if outside:
            text = f"the store sees its connection come from {outside}, not from {published(r)}: an address translation"
            seen.append(evidence(EvidenceKind.SOCKET, text, r, "/proc/net/tcp of rank 0"))
    return Match(
        symptom=Symptom.SETUP_FAILURE if world_failed(case) else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=sentence(
            names(hidden),
            f"offers {published(hidden[0])}, a private address that the other hosts cannot reach: as behind a NAT",
        ),
        confidence=UNSETTLED if silent(case) else settled(case, 0.93),
        ranks=names(hidden),
        hosts=tuple(dict.fromkeys(r.host for r in hidden)),
        evidence=tuple(seen[:12]),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="put the hosts into one network (a VPN, an overlay, a bridged virtual machine), or run all ranks on "
                "one side: gloo and NCCL need connections in both directions",
                applies_to_ranks=names(hidden),
                not_tried="it is not a setting of the world",
            ),
        ),
    )


def _hidden(case: Case, rank: RankRecord) -> bool:
    """The rank offers a private address of a network of its own; it reaches the others, and they do not reach it: they
    have no route to it, or the store's host sees it come from another address."""
    parsed = parse(published(rank)) if published(rank) else None
    if parsed is None or not parsed.is_private or parsed.is_loopback or parsed.is_link_local:
        return False
    failed = {a: p for a, p in probes_to(case).get(rank.name, {}).items() if p.outcome is not Outcome.OK}
    if not failed:
        return False
    probes = data_probes(case)
    reached = [b for b in failed if (found := probes.get((rank.name, b))) is not None and found.outcome is Outcome.OK]
    others = [case.host(r.host) for r in started(case) if r.name in failed]
    if not reached or any(parsed in n for h in others for n in networks(h)):
        return False
    return any(p.outcome is Outcome.UNREACHABLE for p in failed.values()) or bool(_seen_as(case, rank))


def _seen_as(case: Case, rank: RankRecord) -> str:
    """The address, of no host of the world, from which connections reach the store while this rank's own does not
    show there; empty where there is none, or where it cannot be told whose they are."""
    zero = rank_zero(case)
    port = zero.environment.get("MASTER_PORT", "") if zero else ""
    own = {(s.local_address, s.local_port) for s in rank.sockets if s.state == "ESTAB" and str(s.remote_port) == port}
    arrived = [s for s in zero.sockets if s.state == "ESTAB" and str(s.local_port) == port] if zero else []
    if not own or not arrived or own & {(s.remote_address, s.remote_port) for s in arrived}:
        return ""
    known = {a for h in case.hosts for a in addresses(h)}
    return next((s.remote_address for s in arrived if s.remote_address not in known), "")


def _stray(case: Case, rank: RankRecord, shared: list[Network]) -> bool:
    address = published(rank)
    parsed = parse(address) if address else None
    if parsed is None or loopback(address) or any(parsed in n for n in shared):
        return False
    others = [case.host(h) for h in dict.fromkeys(r.host for r in started(case)) if h != rank.host]
    if any(address in addresses(h) for h in others):
        return True
    failed = any(p.outcome is not Outcome.OK for p in probes_to(case).get(rank.name, {}).values())
    alone = not any(parsed in n for h in others for n in networks(h))
    return failed and alone


RULE = Rule(
    cause="interface-unroutable",
    code="CC144",
    title="A rank offers an address that the other hosts cannot reach",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "name an interface in a network that all hosts share"),
        (FixPattern.NETWORK_SETTING, "put the hosts into one network"),
    ),
    match=match,
    explains=(
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "route-missing",
        "duplicate-address",
        "interface-differs-between-ranks",
        "env-differs-between-ranks",
        "address-order-dependent",
        "partition",
        "rank-exited",
    ),
    needs=("ranks", "hosts"),
)
