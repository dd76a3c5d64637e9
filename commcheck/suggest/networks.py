"""By which interfaces and addresses all hosts can reach each other, as their facts tell. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from commcheck.model.base import Value
from commcheck.model.case import Address, HostFacts, Interface
from commcheck.predict.addresses import IP, first_address, on_link, parse

Net = ipaddress.IPv4Network | ipaddress.IPv6Network


class Network(Value, frozen=True):
    """One way between all hosts: an interface and an address on each. `what`: how it was found."""

    what: str
    interfaces: dict[str, str]
    addresses: dict[str, str]


def networks(hosts: Sequence[HostFacts]) -> tuple[Network, ...]:
    """The ways, the surest first: a subnet that all hosts share, interfaces of one name, those that routes lead over.

    An address that two hosts have (as Docker's bridges do) is no way between them."""
    if len(hosts) == 1:
        return tuple(_of_one(hosts[0]))
    found: dict[tuple[tuple[str, str], ...], Network] = {}
    for one in (*_shared(hosts), *_named_alike(hosts), *_routed(hosts)):
        if len(set(one.addresses.values())) == len(hosts):
            found.setdefault(tuple(sorted(one.addresses.items())), one)
    return tuple(found.values())


def _of_one(facts: HostFacts) -> Iterator[Network]:
    """A host by itself: every address of its own will do."""
    for one in sorted((i for i in facts.interfaces if i.up), key=lambda i: not i.loopback):
        if first_address(one):
            yield Network(
                what=f"{one.name} of this host",
                interfaces={facts.host: one.name},
                addresses={facts.host: first_address(one)},
            )


def usable(facts: HostFacts) -> Iterator[tuple[Interface, Address]]:
    """The addresses by which other hosts could reach this one; IPv4 first, as gloo takes them of each interface."""
    for one in sorted(facts.interfaces, key=lambda i: not i.carrier):
        if not one.up or one.loopback:
            continue
        for address in sorted(one.addresses, key=lambda a: a.family != "ipv4"):
            parsed = parse(address.address)
            if parsed is not None and not parsed.is_link_local and not parsed.is_loopback:
                yield one, address


def _subnet(address: Address) -> Net:
    return ipaddress.ip_network(f"{address.address.partition('%')[0]}/{address.prefix}", strict=False)


def _shared(hosts: Sequence[HostFacts]) -> Iterator[Network]:
    for one, address in usable(hosts[0]):
        subnet = _subnet(address)
        interfaces, addresses = {hosts[0].host: one.name}, {hosts[0].host: address.address}
        for other in hosts[1:]:
            for theirs, a in usable(other):
                parsed = parse(a.address)
                if parsed is not None and parsed.version == subnet.version and parsed in subnet:
                    interfaces[other.host], addresses[other.host] = theirs.name, a.address
                    break
        if len(addresses) == len(hosts):
            yield Network(what=f"all hosts are on {subnet}", interfaces=interfaces, addresses=addresses)


def _named_alike(hosts: Sequence[HostFacts]) -> Iterator[Network]:
    for one, _ in usable(hosts[0]):
        addresses: dict[str, str] = {}
        for facts in hosts:
            for theirs, a in usable(facts):
                if theirs.name == one.name:
                    addresses.setdefault(facts.host, a.address)
        if len(addresses) == len(hosts):
            interfaces = dict.fromkeys(addresses, one.name)
            yield Network(what=f"all hosts have {one.name}", interfaces=interfaces, addresses=addresses)


def _routed(hosts: Sequence[HostFacts]) -> Iterator[Network]:
    """For each address of the first host: what the others would send over."""
    for one, address in usable(hosts[0]):
        interfaces, addresses = {hosts[0].host: one.name}, {hosts[0].host: address.address}
        for other in hosts[1:]:
            via = leads(other, address.address)
            theirs = next((a for i, a in usable(other) if i == via and a.family == address.family), None)
            if via is None or theirs is None:
                break
            interfaces[other.host], addresses[other.host] = via.name, theirs.address
        else:
            yield Network(what=f"routes lead to {address.address}", interfaces=interfaces, addresses=addresses)


def leads(facts: HostFacts, address: str) -> Interface | None:
    """The interface over which a host sends to an address: on link, or by the most specific route."""
    direct = on_link(facts, address)
    if direct is not None:
        return direct
    parsed = parse(address)
    best: tuple[int, str] | None = None
    for route in facts.routes:
        network = ipaddress.ip_network(route.destination, strict=False)
        if _in(parsed, network) and (best is None or network.prefixlen > best[0]):
            best = (network.prefixlen, route.interface)
    return next((i for i in facts.interfaces if best is not None and i.name == best[1] and i.up), None)


def _in(parsed: IP | None, network: Net) -> bool:
    return parsed is not None and parsed.version == network.version and parsed in network
