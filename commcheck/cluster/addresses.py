"""By which address, on which interface, each host is to be reached by the others. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping

from commcheck.model.base import Value
from commcheck.model.case import Address, HostFacts, Interface

Net = ipaddress.IPv4Network | ipaddress.IPv6Network


class Chosen(Value, frozen=True):
    """An address and its interface."""

    address: str
    interface: str


def chosen(hosts: Mapping[int, HostFacts], interface: str = "") -> dict[int, Chosen]:
    """Per host, by rank; hosts without any address that others could use are left out.

    Of those on `interface` where one is named; else the one on the subnet that most hosts share, then the one on the
    interface over which a gateway is reached, then the first. An address that two hosts have (as Docker's bridges do) leads
    to neither."""
    every = {
        rank: [c for c in _candidates(facts) if c[0].name == (interface or c[0].name)] for rank, facts in hosts.items()
    }
    owners = Counter(a.address for found in every.values() for a in {a.address: a for _, a in found}.values())
    every = {rank: [c for c in found if owners[c[1].address] == 1] for rank, found in every.items()}
    shared = Counter(net for found in every.values() for net in {_net(a) for _, a in found})
    made = {}
    for rank, found in every.items():
        gateways = {r.interface for r in hosts[rank].routes if r.gateway}
        best = max(
            enumerate(found),
            key=lambda c: (shared[_net(c[1][1])], c[1][1].family == "ipv4", c[1][0].name in gateways, -c[0]),
            default=None,
        )
        if best is not None:
            made[rank] = Chosen(address=best[1][1].address, interface=best[1][0].name)
    return made


def _candidates(facts: HostFacts) -> Iterator[tuple[Interface, Address]]:
    for one in facts.interfaces:
        if not one.up or not one.carrier or one.loopback:
            continue
        for address in one.addresses:
            try:
                parsed = ipaddress.ip_address(address.address)
            except ValueError:  # with a scope (fe80::1%eth0): of use on its own link alone
                continue
            if not parsed.is_link_local and not parsed.is_loopback:
                yield one, address


def _net(address: Address) -> Net:
    return ipaddress.ip_network(f"{address.address}/{address.prefix}", strict=False)
