"""A host has no route to an address that it must reach, or one that leads to a router which is not there.

**What you see.** `No route to host` or `Network is unreachable` in a warning, then the timeout of everything else.

**Why it happens.** Hosts in different subnets without a router, a lost default route, a neighbour that does not answer.

**How to fix.** Add the route, or use addresses in a network that the hosts share.

**How to confirm.** `ip route get ADDRESS` on that host.
"""

from __future__ import annotations

from commcheck.diagnose.advice import address_of_rank_zero
from commcheck.diagnose.choosing import mended
from commcheck.diagnose.linking import blocked, hosts, links, settled
from commcheck.diagnose.view import evidence, master_probe, names, parse, rank_zero, started
from commcheck.model.base import sentence
from commcheck.model.case import Case, Outcome, Probe, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Link, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Our own attempt, at the store's port or a peer's, met ENETUNREACH or EHOSTUNREACH, or its router answers no ARP."""
    return _store(case) or _back(case) or _data(case)


def _unrouted(probe: Probe | None) -> bool:
    return probe is not None and (probe.outcome is Outcome.UNREACHABLE or bool(probe.router))


def _store(case: Case) -> Match | None:
    lost = [r for r in started(case) if _unrouted(master_probe(r))]
    if not lost:
        return None
    zero = rank_zero(case)
    probe = master_probe(lost[0])
    assert probe is not None
    right = address_of_rank_zero(case)
    other = right if right and right != probe.target else ""
    fixes = (
        [
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"use rank 0's address in a network that the hosts share: MASTER_ADDR={other}",
                set={"MASTER_ADDR": other},
            )
        ]
        if other
        else []
    )
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=_title(names(lost), f"the store's host {probe.target}", probe),
        confidence=0.93,
        ranks=names(lost),
        hosts=tuple(dict.fromkeys(r.host for r in lost)),
        links=tuple(Link(source=r.host, target=zero.host if zero else probe.target, port=probe.port) for r in lost),
        evidence=tuple(e for r in lost[:6] for e in _why(case, r, master_probe(r))),
        fixes=(*fixes, _route(probe.target, names(lost))),
    )


def _back(case: Case) -> Match | None:
    """Rank 0's host has no way to ranks whose connections to the store get no answer."""
    zero = rank_zero(case)
    waiting = {
        r.name: r for r in started(case) if (p := master_probe(r)) is not None and p.outcome is Outcome.TIMED_OUT
    }
    back = [p for p in zero.probes if p.kind == "back" and p.outcome is Outcome.UNREACHABLE] if zero is not None else []
    lost = {p.peer_rank: p for p in back if p.peer_rank is not None and p.peer_rank in waiting}
    if zero is None or not lost:
        return None
    first = next(iter(lost.values()))
    seen = [e for p in list(lost.values())[:6] for e in _why(case, zero, p)]
    for r in [waiting[n] for n in lost][:3]:
        probe = master_probe(r)
        text = f"{probe.target} port {probe.port}: {probe.detail}" if probe is not None else ""
        seen.append(evidence(EvidenceKind.PROBE, text, r, "own connection"))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=_title((zero.name,), f"{first.target}, whom it has to answer", first),
        confidence=0.93,
        ranks=(zero.name,),
        hosts=(zero.host,),
        links=tuple(Link(source=zero.host, target=waiting[n].host) for n in lost),
        evidence=tuple(seen),
        fixes=(_route(first.target, (zero.name,)),),
    )


def _data(case: Case) -> Match | None:
    found = blocked(case, Outcome.UNREACHABLE, Outcome.TIMED_OUT)
    directions = tuple(d for d, p in found.failed.items() if _unrouted(p))
    if not directions:
        return None
    sources = tuple(sorted({a for a, _ in directions}))
    by_name = {r.name: r for r in started(case)}
    seen = [e for a, b in directions[:6] if a in by_name for e in _why(case, by_name[a], found.failed[a, b])]
    lost = tuple(by_name[a] for a in sources if a in by_name)
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=_title(sources, found.failed[directions[0]].target, found.failed[directions[0]]),
        confidence=settled(case, 0.9),
        ranks=sources,
        hosts=hosts(case, sources),
        links=links(case, directions),
        evidence=tuple(seen),
        fixes=(*mended(case, lost), _route(found.failed[directions[0]].target, sources)),
    )


def _title(ranks: tuple[int, ...], target: str, probe: Probe) -> str:
    if probe.router:
        return sentence(ranks, f"reaches {target} through router {probe.router}, which is not there")
    return sentence(ranks, f"has no route to {target}")


def _why(case: Case, rank: RankRecord, probe: Probe | None) -> list[Evidence]:
    if probe is None:
        return []
    seen = [
        evidence(
            EvidenceKind.PROBE,
            f"{probe.target} port {probe.port}: {probe.detail} ({probe.errno})",
            rank,
            "own connection",
        )
    ]
    if probe.router:
        text = f"the route leads to {probe.router}, which does not answer ARP"
        seen.append(evidence(EvidenceKind.PROBE, text, rank, "/proc/net/route, /proc/net/arp"))
    facts = case.host(rank.host)
    target = parse(probe.target)
    if (
        not probe.router and facts is not None and facts.interfaces and target is not None
    ):  # without interfaces, no facts could be read
        text = "; ".join(f"{r.destination} over {r.interface}" for r in facts.routes[:6]) or "no route at all"
        seen.append(evidence(EvidenceKind.FACT, f"routes: {text}", rank, "routes"))
        if target.is_private:
            text = f"{probe.target} is a private address: from outside its network, as behind a NAT, nobody reaches it"
            seen.append(evidence(EvidenceKind.FACT, text, None, "RFC 1918, RFC 4193"))
    return seen


def _route(target: str, ranks: tuple[int, ...]) -> Fix:
    return Fix(
        pattern=FixPattern.NETWORK_SETTING,
        text=f"add a route to {target}",
        commands=(f"ip route get {target}   # then: sudo ip route add {target} via GATEWAY",),
        applies_to_ranks=ranks,
    )


RULE = Rule(
    cause="route-missing",
    code="CC164",
    title="A host has no route to an address that it must reach",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=(
        (FixPattern.NETWORK_SETTING, "add the route"),
        (FixPattern.COMMUNICATION_CONFIGURATION, "use an address in a shared network"),
    ),
    match=match,
    explains=("address-order-dependent", "rank-missing", "port-refused", "port-dropped", "nccl-address-unreachable"),
    needs=("ranks",),
)
