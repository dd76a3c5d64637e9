"""NCCL would tell the other hosts to connect to an address that they cannot reach.

**What you see**

Ranks hang in their first collective or time out; with NCCL_DEBUG=INFO `socketPollConnect: connect ... returned Connection
refused`, `No route to host`, or nothing at all. The store works: it uses MASTER_ADDR.

**Why it happens**

The rank that makes the unique id puts the address of its own interface into it: by default the first that is not docker* or
lo*, which may be a virtual bridge, a management network or a container's own. With NCCL_SOCKET_IFNAME=lo, or where there is
nothing else, it is 127.0.0.1, which on every other host is that host itself.

**How to fix**

Set NCCL_SOCKET_IFNAME to the interface of a network that all hosts share, or open that network for the hosts' ephemeral ports.

**How to confirm**

`commcheck lint --backend nccl` shows interface and address; from another host, `nc -zv ADDRESS PORT` while the job starts.
"""

from __future__ import annotations

from ipaddress import ip_network

from commcheck.diagnose.linking import UNSETTLED, outstanding
from commcheck.diagnose.rules.nccl.shared import (
    SECOND_CHOICE,
    WORDS,
    Asked,
    asked,
    better,
    by_library,
    interfaces,
    named,
    setting,
    several_hosts,
    surely,
)
from commcheck.diagnose.view import parse
from commcheck.model.case import Case, HostFacts
from commcheck.model.diagnosis import Evidence, EvidenceKind, Link, Match
from commcheck.model.nccl import NcclAddress, NcclFacts, NcclReach
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

LOOPBACK = 0.95
TRIED = 0.9
"""A connection that NCCL makes too was tried, to a listener on that very address, and failed: between each host and the first,
where the root is, or to the next one in the ring."""
TRIED_IN_A_NETWORK = 0.8
"""As that, where the other host is in the same network: the choice is right, and what keeps the two apart may have a name of
its own."""
TRIED_ELSEWHERE = 0.6
"""As that, between two hosts that may not need each other."""
PERHAPS = 0.4
"""Loopback, and nothing says whether there are other hosts."""
BRIDGE, BRIDGE_PERHAPS = 0.6, 0.35
"""A bridge that usually leads to containers of this host alone, while there is another interface."""


def match(case: Case) -> Match | None:
    """A loopback address in a job of several hosts, or one to which other hosts' connections have failed."""
    many = several_hosts(case)
    everyone = asked(case)
    looped = tuple(one for one in everyone if _loops(one))
    if looped and many is not False:
        answer = looped[0].nccl.answer
        assert answer is not None
        what = f"NCCL would tell the other hosts to connect to {answer.address} ({answer.interface})"
        return _match(_alike(looped), what, LOOPBACK if many else PERHAPS, (), tuple(o.host.host for o in looped))
    for one in everyone:
        answer = one.nccl.answer
        if answer is None or not answer.works or not answer.address:
            continue
        tried_it = any(r.host == one.host.host for o in everyone for r in o.nccl.reached)
        if many is not False and not tried_it and _bridge(answer.interface) and _other(one) is not None:
            what = f"NCCL takes {answer.interface} ({answer.address}), by its name a bridge that no other host is on"
            return _match(one, what, BRIDGE if many else BRIDGE_PERHAPS, ())
        failed = tuple(
            (o, r) for o in everyone for r in o.nccl.reached if r.host == one.host.host and r.outcome != "ok"
        )
        tried = [r for o in everyone for r in o.nccl.reached if r.host == one.host.host]
        if failed:
            who = ", ".join(dict.fromkeys(o.host.host for o, _ in failed))
            some = "" if len(failed) == len(tried) else f" ({len(tried) - len(failed)} others can)"
            what = (
                f"NCCL on {one.host.host} takes {answer.address} ({answer.interface}), which {who} cannot reach{some}"
            )
            order = [o.host.host for o in everyone]
            needed = any(_needed(order, o.host.host, one.host.host) for o, _ in failed)
            together = all(_in_its_network(o.nccl, answer.address) for o, _ in failed)
            confidence = (TRIED_IN_A_NETWORK if together else TRIED) if needed else TRIED_ELSEWHERE
            return _match(one, what, min(confidence, UNSETTLED) if outstanding(case) else confidence, failed)
    return _of_unknown(everyone)


def _loops(one: Asked) -> bool:
    answer = one.nccl.answer
    return answer is not None and answer.works and (answer.address.startswith("127.") or answer.address == "::1")


def _alike(some: tuple[Asked, ...]) -> Asked:
    """The first of some hosts, for all ranks there where one setting mends all of them."""
    first = some[0]
    if len({other.interface if (other := _other(one)) else "" for one in some}) > 1:
        return first
    return first._replace(ranks=tuple(sorted({rank for one in some for rank in one.ranks})))


def _of_unknown(everyone: tuple[Asked, ...]) -> Match | None:
    """An address of a rank of which nothing else is known: this is one rank's view."""
    known = {one.host.host for one in everyone}
    for one in everyone:
        for reach in one.nccl.reached:
            if reach.host in known or reach.outcome == "ok" or reach.rank is None:
                continue
            what = f"NCCL on {reach.host} takes {reach.address}, which {one.host.host} cannot reach"
            there = Asked(HostFacts(host=reach.host), NcclFacts(), (reach.rank,), one.limit)
            confidence = TRIED if 0 in (*one.ranks, reach.rank) else TRIED_ELSEWHERE
            return _match(there, what, confidence, ((one, reach),))
    return None


def _in_its_network(nccl: NcclFacts, address: str) -> bool:
    """A host has an address of its own in the network of another's address."""
    parsed = parse(address)
    own = (a for a in nccl.addresses if a.running and a.prefix and a.family in WORDS and a.address != address)
    return parsed is not None and any(parsed in ip_network(f"{a.address}/{a.prefix}", strict=False) for a in own)


def _bridge(interface: str) -> bool:
    return interface.startswith(SECOND_CHOICE) and not interface.startswith("lo")


def _needed(order: list[str], source: str, target: str) -> bool:
    """NCCL connects this way whatever algorithm it takes; `order` is that of the ranks' hosts."""
    at = order.index(source)
    return order[0] in (source, target) or order[(at + 1) % len(order)] == target


def _match(
    one: Asked,
    title: str,
    confidence: float,
    failed: tuple[tuple[Asked, NcclReach], ...],
    hosts: tuple[str, ...] = (),
) -> Match:
    attempts = tuple(
        Evidence(
            kind=EvidenceKind.PROBE,
            text=f"{other.host.host} to {reach.address} port {reach.port}: {reach.outcome} {reach.detail}".rstrip(),
            source="own connection to a listener there",
        )
        for other, reach in failed[:6]
    )
    chosen = "NCCL_SOCKET_IFNAME" in one.nccl.environment
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"{title}{one.where}",
        confidence=surely(one, confidence),
        ranks=one.ranks,
        hosts=(hosts or (one.host.host,)) if one.nccl.addresses else (),
        links=tuple(Link(source=o.host.host, target=one.host.host, port=r.port) for o, r in failed),
        evidence=(
            *((setting(one, "NCCL_SOCKET_IFNAME"),) if chosen else ()),
            *by_library(one),
            *attempts,
            *((interfaces(one),) if one.nccl.addresses else ()),
        ),
        fixes=named(one, _other(one)),
    )


def _other(one: Asked) -> NcclAddress | None:
    """An interface to name in place of the one that was taken."""
    found = better(one.nccl)
    taken = one.nccl.answer.interface if one.nccl.answer else ""
    return None if found is None or found.interface == taken else found


RULE = Rule(
    cause="nccl-address-unreachable",
    code="CC182",
    title="The address that NCCL forms a communicator from cannot be reached",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=(
        (
            FixPattern.COMMUNICATION_CONFIGURATION,
            "set NCCL_SOCKET_IFNAME to the interface of a network that all hosts share",
        ),
        (FixPattern.NETWORK_SETTING, "let the hosts connect to each other's ephemeral ports on that network"),
    ),
    match=match,
    explains=(
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "route-missing",
        "partition",
        "interface-unroutable",
        "interface-differs-between-ranks",
        "address-order-dependent",
    ),
    needs=("hosts",),
)
