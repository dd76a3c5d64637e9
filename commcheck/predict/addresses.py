"""Addresses and names, as a host's facts tell them. Pure."""

from __future__ import annotations

import ipaddress

from commcheck.model.case import Address, HostFacts, Interface

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse(text: str) -> IP | None:
    """An address without its zone, IPv4 that is written as IPv6 as IPv4; None for a name."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def loopback(text: str) -> bool:
    """127.0.0.0/8 or ::1."""
    parsed = parse(text)
    return parsed is not None and parsed.is_loopback


def resolved(facts: HostFacts, name: str) -> tuple[str, ...] | None:
    """The addresses of a name on a host, in the resolver's order; empty: it has none; None: nobody asked."""
    if parse(name) is not None:
        return (name,)
    for look in facts.lookups:
        if look.kind == "forward" and look.name == name:
            return look.addresses
    return None


def own(facts: HostFacts, address: str) -> bool:
    """The address is one of this host's, or of its loopback."""
    parsed = parse(address)
    if parsed is None:
        return False
    return parsed.is_loopback or parsed.is_unspecified or any(parse(a.address) == parsed for a in all_addresses(facts))


def all_addresses(facts: HostFacts) -> tuple[Address, ...]:
    """The addresses of all interfaces."""
    return tuple(a for i in facts.interfaces for a in i.addresses)


def interface(facts: HostFacts, name: str) -> Interface | None:
    """An interface by its exact name."""
    return next((i for i in facts.interfaces if i.name == name), None)


def first_address(found: Interface) -> str:
    """The address that gloo takes of an interface: the kernel lists IPv4 before IPv6."""
    order = sorted(found.addresses, key=lambda a: a.family != "ipv4")
    return order[0].address if order else ""


def on_link(facts: HostFacts, address: str) -> Interface | None:
    """The interface that is up and in whose network an address lies."""
    parsed = parse(address)
    for one in facts.interfaces:
        if not one.up or one.loopback:
            continue
        for a in one.addresses:
            network = ipaddress.ip_network(f"{a.address.partition('%')[0]}/{a.prefix}", strict=False)
            if parsed is not None and parsed.version == network.version and parsed in network:
                return one
    return None


def routed(facts: HostFacts, address: str) -> bool:
    """Some route leads there, over a router."""
    parsed = parse(address)
    if parsed is None:
        return False
    for route in facts.routes:
        network = ipaddress.ip_network(route.destination, strict=False)
        if network.version == parsed.version and parsed in network:
            return True
    return False
