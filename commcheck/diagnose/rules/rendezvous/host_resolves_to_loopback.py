"""A host name is a loopback address, so that ranks on other hosts are sent to themselves.

**What you see.** Either the store's clients are refused at 127.0.x.x, or, with gloo, the store works and then
`connectFullMesh failed ... Connection refused, remote=[127.0.1.1]` comes from another rank than the guilty one.

**Why it happens.** Debian's installer writes `127.0.1.1 HOSTNAME` into /etc/hosts. Without GLOO_SOCKET_IFNAME gloo binds
to the address of the own host name and publishes it; a host name that does not resolve makes it fall back to loopback.

**How to fix.** Set GLOO_SOCKET_IFNAME to the interface of the cluster's network (or MASTER_ADDR to an address), or map
the host name to the host's real address.

**How to confirm.** `getent ahosts $(hostname)` shows 127.x.x.x.
"""

from __future__ import annotations

from commcheck.diagnose.advice import interface_for
from commcheck.diagnose.mastering import mended, misdirected, where
from commcheck.diagnose.view import (
    addresses,
    by_nccl,
    evidence,
    is_literal,
    loopback,
    named_interface,
    names,
    published,
    said,
    several_hosts,
    started,
    world_failed,
)
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """MASTER_ADDR that is loopback on another host than rank 0's, or ranks that publish loopback to other hosts."""
    return _of_the_store(case) or _of_the_own_name(case)


def _of_the_store(case: Case) -> Match | None:
    found = tuple(
        m
        for m in misdirected(case)
        if loopback(m.address) and not is_literal(m.rank.environment.get("MASTER_ADDR", ""))
    )
    if not found:
        return None
    name = found[0].rank.environment.get("MASTER_ADDR", "")
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"{name} is {found[0].address} on {ranks_text(names(m.rank for m in found))}: it looks for the store on its own host",
        confidence=0.95,
        ranks=names(m.rank for m in found),
        hosts=tuple(dict.fromkeys(m.rank.host for m in found)),
        evidence=where(case, found),
        fixes=mended(case, found),
    )


def _of_the_own_name(case: Case) -> Match | None:
    if not several_hosts(case):
        return None
    guilty = [
        r
        for r in started(case)
        if published(r) and loopback(published(r)) and not named_interface(r) and not by_nccl(r)
    ]
    # A name that does not resolve at all makes gloo fall back to loopback: that is another cause.
    guilty = [r for r in guilty if not _unresolved(case, r)]
    if not guilty:
        return None
    seen = []
    foreign = {r.name: _foreign(case, r) for r in guilty}
    what = "is a loopback address, and gloo publishes it to the other hosts"
    if all(foreign.values()):  # gloo cannot bind to it, and takes loopback instead
        what = "is no address of its host, and gloo publishes a loopback address instead"
    for r in guilty[:8]:
        facts = case.host(r.host)
        own = facts.hostname if facts else r.host
        text = f"its host name {own} is {published(r)}, which it publishes"
        if foreign[r.name]:
            text = f"its host name {own} is {', '.join(foreign[r.name])}, and it publishes {published(r)}"
        seen.append(evidence(EvidenceKind.FACT, text, r, "name look-up"))
        line = said(r, "connectFullMesh failed", "Connection refused")
        if line:
            seen.append(evidence(EvidenceKind.LOG, line.strip()[:300], r, "stderr"))
    return Match(
        symptom=Symptom.SETUP_FAILURE if world_failed(case) else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=f"The host name of {ranks_text(names(guilty))} {what}",
        confidence=0.95,
        ranks=names(guilty),
        hosts=tuple(dict.fromkeys(r.host for r in guilty)),
        evidence=tuple(seen),
        fixes=(*_interfaces(case, guilty), _hosts_file(guilty)),
    )


def _unresolved(case: Case, rank: RankRecord) -> bool:
    facts = case.host(rank.host)
    if facts is None:
        return False
    own = [x for x in facts.lookups if x.kind == "forward" and x.name == facts.hostname]
    return bool(own) and all(x.error for x in own)


def _foreign(case: Case, rank: RankRecord) -> tuple[str, ...]:
    """What the own host name is, where none of that is an address of the host."""
    facts = case.host(rank.host)
    if facts is None:
        return ()
    own = [a for x in facts.lookups if x.kind == "forward" and x.name == facts.hostname for a in x.addresses]
    return () if any(loopback(a) or a in addresses(facts) for a in own) else tuple(dict.fromkeys(own))


def _interfaces(case: Case, guilty: list[RankRecord]) -> tuple[Fix, ...]:
    names_by_slot = {str(r.slot): interface_for(case, r) for r in guilty}
    if not all(names_by_slot.values()):
        return ()
    shown = ", ".join(sorted(set(names_by_slot.values())))
    return (
        Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=f"name the interface of the network that the hosts share: GLOO_SOCKET_IFNAME={shown}",
            rank_set={slot: {"GLOO_SOCKET_IFNAME": name} for slot, name in names_by_slot.items()},
            applies_to_ranks=names(guilty),
        ),
    )


def _hosts_file(guilty: list[RankRecord]) -> Fix:
    return Fix(
        pattern=FixPattern.NETWORK_SETTING,
        text="map the host name to the host's real address",
        commands=('sudo sed -i "/^127\\./s/ $(hostname)\\b//" /etc/hosts   # then add: ADDRESS HOSTNAME',),
        applies_to_ranks=names(guilty),
    )


RULE = Rule(
    cause="host-resolves-to-loopback",
    code="CC113",
    title="A host name is a loopback address",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "set GLOO_SOCKET_IFNAME, or MASTER_ADDR to an address"),
        (FixPattern.NETWORK_SETTING, "map the host name to the host's real address"),
    ),
    match=match,
    explains=(
        "port-refused",
        "rank-missing",
        "wrong-service-on-port",
        "wrong-master-host",
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "interface-unroutable",
        "duplicate-address",
        "interface-differs-between-ranks",
        "address-order-dependent",
        "partition",
    ),
    needs=("ranks", "hosts"),
)
