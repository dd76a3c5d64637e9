"""Which value to set instead: chosen from the facts of all hosts, so that it can be tried. Pure."""

from __future__ import annotations

from commcheck.diagnose.view import Network, addresses, networks, rank_zero, several_hosts, started
from commcheck.model.base import remembered
from commcheck.model.case import Case, Origin, RankRecord

FREE_PORTS = (29500, 29400, 23456, 29600, 29700)
"""Ports to offer for the store: torch's and torchrun's defaults first, all outside the usual ephemeral range."""


@remembered
def common_networks(case: Case) -> list[Network]:
    """Networks in which every host of the world has an address on a working interface, none of them the same address."""
    facts = [case.host(h) for h in dict.fromkeys(r.host for r in started(case))]
    if not facts or any(f is None for f in facts):
        return []
    tables = [networks(f) for f in facts]
    shared = [n for n in tables[0] if all(n in t for t in tables[1:])]
    # A bridge like docker0 has the same address on every host: no host can reach another's through it.
    return [n for n in shared if len({t[n][1] for t in tables}) == len(tables)]


def interface_for(case: Case, rank: RankRecord) -> str:
    """The interface of a rank's host in a network that all hosts share; loopback in a world of one host."""
    facts = case.host(rank.host)
    if facts is None:
        return ""
    if case.origin is Origin.STATIC:
        # Nothing is known of the other hosts: the interface of the default route is what they most likely share.
        routed = [r.interface for r in facts.routes if r.destination in ("0.0.0.0/0", "::/0")]
        usable = [interface.name for interface, _ in networks(facts).values()]
        return next((name for name in (*routed, *usable) if name in usable), "")
    if not several_hosts(case):
        return next((i.name for i in facts.interfaces if i.loopback), "")
    for network in common_networks(case):
        if network in networks(facts):
            return networks(facts)[network][0].name
    return ""


def address_of_rank_zero(case: Case) -> str:
    """An address of rank 0's host that every host can be expected to reach."""
    zero = rank_zero(case)
    if zero is None:
        return ""
    if not several_hosts(case):
        return "127.0.0.1" if "127.0.0.1" in addresses(case.host(zero.host)) else "::1"
    table = networks(case.host(zero.host))
    for network in common_networks(case):
        if network in table:
            return table[network][1]
    return ""


def another_port(case: Case) -> str:
    """A port for the store that no listener seen so far holds and no rank was told."""
    taken = {str(x.port) for h in case.hosts for x in h.listeners}
    taken |= {r.environment.get("MASTER_PORT", "") for r in case.ranks}
    return next((str(p) for p in FREE_PORTS if str(p) not in taken), "")
