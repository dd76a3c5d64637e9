"""What is wrong with a topology, before anything is built. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from commcheck.errors import UsageError
from commcheck.lab.network import FIRST_HOST, OVERLAYS, ROUTED_BITS, TUNNEL_BYTES, Subnet, members
from commcheck.model.topology import Network, Topology

Path = tuple[str | int, ...]
"""Where in a topology a field is: ("networks", 1, "subnet")."""

NAME_LENGTH = 15  # of an interface: IFNAMSIZ without its final zero
MTU = range(68, 65536)
MTU6 = 1280  # the least that IPv6 works with
TAGS = {"vlan": range(1, 4095), "vxlan": range(1, 1 << 24)}
MOST_HOSTS = 64
LEAST_SHM = 1 << 12


def problems(topology: Topology) -> list[tuple[Path, str]]:
    """All that is wrong, each with its field and the remedy; empty when the lab can be built."""
    if not 1 <= topology.hosts <= MOST_HOSTS:
        return [(("hosts",), f"{topology.hosts} hosts: a lab has 1 to {MOST_HOSTS}")]
    if not topology.networks:
        return [(("networks",), "there is no network: give at least one")]
    found = [*_interfaces(topology), *_hosts(topology)]
    subnets: list[tuple[Path, Subnet]] = []
    for index, network in enumerate(topology.networks):
        where: Path = ("networks", index)
        found += [((*where, field), text) for field, text in _network(topology, network)]
        found += [((*where, field), text) for field, text in _overlay(topology, index)]
        found += _subnets(topology, network, where, subnets)
    return found + _nat(topology, subnets) + _overlaps(subnets)


def require_valid(topology: Topology) -> None:
    """Raise UsageError with everything that is wrong."""
    found = problems(topology)
    if found:
        raise UsageError("; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in found))


def _interfaces(topology: Topology) -> list[tuple[Path, str]]:
    named: list[tuple[Path, str]] = [
        (("networks", index, "interface"), network.interface) for index, network in enumerate(topology.networks)
    ]
    named += [((field,), name) for field, name in (("down", topology.down), ("bare", topology.bare)) if name]
    found: list[tuple[Path, str]] = []
    seen = {"lo"} | ({"docker0"} if topology.docker0 else set())
    for path, name in named:
        if not 0 < len(name) <= NAME_LENGTH or any(sign in "/:" or sign.isspace() for sign in name):
            found.append((path, f"{name!r} is no interface name: 1 to {NAME_LENGTH} signs, no space, '/' or ':'"))
        elif name in seen:
            found.append((path, f"there is a second interface {name}: each needs a name of its own"))
        seen.add(name)
    return found


def _hosts(topology: Topology) -> list[tuple[Path, str]]:
    found = [
        (path, f"there is no host {number}: the lab has {topology.hosts}, numbered from 0")
        for path, numbers in (
            *((("networks", i, "hosts"), network.hosts) for i, network in enumerate(topology.networks)),
            (("nat",), topology.nat),
        )
        for number in numbers
        if not 0 <= number < topology.hosts
    ]
    joined = {number for network in topology.networks for number in members(topology, network)}
    alone = sorted(set(range(topology.hosts)) - joined)
    if alone:
        found.append((("networks",), f"host {alone[0]} is on no network: add it to the hosts of one"))
    if topology.shm is not None and topology.shm < LEAST_SHM:
        found.append((("shm",), f"{topology.shm} bytes: at least {LEAST_SHM} are needed"))
    if len(topology.uptimes) > topology.hosts:
        found.append((("uptimes",), f"{len(topology.uptimes)} values for {topology.hosts} hosts: give one for each"))
    if any(seconds < 0 for seconds in topology.uptimes):
        found.append((("uptimes",), "a host cannot be up for less long than this machine: give seconds from 0 on"))
    return found


def _network(topology: Topology, network: Network) -> Iterator[tuple[str, str]]:
    if not (network.subnet or network.subnet6):
        yield "subnet", "there is neither subnet nor subnet6: give at least one"
    least = MTU6 if network.subnet6 else MTU.start
    if network.mtu is not None and not least <= network.mtu < MTU.stop:
        why = " (IPv6 needs 1280)" if network.subnet6 else ""
        yield "mtu", f"{network.mtu} bytes: an MTU is {least} to {MTU.stop - 1}{why}"


def _overlay(topology: Topology, index: int) -> Iterator[tuple[str, str]]:
    network = topology.networks[index]
    if network.kind not in OVERLAYS:
        return
    below = {other.interface: other for other in topology.networks[:index]}
    if network.over not in below:
        known = ", ".join(below) or "none"
        yield "over", f"no network before this one has the interface {network.over!r} (there is: {known})"
        return
    if network.tag not in TAGS[network.kind]:
        tags = TAGS[network.kind]
        yield "tag", f"{network.tag}: a {network.kind}'s tag is {tags.start} to {tags.stop - 1}"
    carrier, there = below[network.over], members(topology, network)
    missing = sorted(set(there) - set(members(topology, carrier)))
    if missing:
        yield "hosts", f"host {missing[0]} is not on {network.over}, over which this network goes: leave it out"
    if network.kind == "vlan" and carrier.kind != "bridge":
        yield "over", f"a VLAN needs a bridge below it, and {network.over} is {carrier.kind}: use vxlan"
    if carrier is topology.networks[0] and set(topology.nat) & set(there):
        yield (
            "hosts",
            f"host {min(set(topology.nat) & set(there))} is behind nat, where no overlay reaches it: leave it out",
        )
    if any((o.kind, o.over, o.tag) == (network.kind, network.over, network.tag) for o in topology.networks[:index]):
        yield "tag", f"another {network.kind} over {network.over} has the tag {network.tag}: use a different one"
    room = (carrier.mtu or 1500) - (TUNNEL_BYTES[4 if carrier.subnet else 6] if network.kind == "vxlan" else 0)
    if network.mtu is not None and network.mtu > room:
        yield "mtu", f"{network.mtu} bytes are more than {network.over} carries for it: at most {room}"


def _subnets(
    topology: Topology, network: Network, where: Path, into: list[tuple[Path, Subnet]]
) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    last = max((n for n in members(topology, network) if 0 <= n < topology.hosts), default=0)
    for field, text, version in (("subnet", network.subnet, 4), ("subnet6", network.subnet6, 6)):
        if not text:
            continue
        path = (*where, field)
        subnet = _parsed(text, version)
        if isinstance(subnet, str):
            found.append((path, subnet))
            continue
        into.append((path, subnet))
        bits = ROUTED_BITS[version]
        if network.kind == "routed" and (subnet.prefixlen > bits or last >= 1 << (bits - subnet.prefixlen)):
            remedy = f"make it /{bits - last.bit_length()} or larger"
            found.append((path, f"{text} has no /{bits} for each of the hosts up to {last}: {remedy}"))
        elif network.kind != "routed":
            found += [(path, problem) for problem in _too_small(subnet, last)]
    return found


def _too_small(subnet: Subnet, last: int) -> Iterator[str]:
    number = FIRST_HOST + last
    if number >= subnet.num_addresses - 1:  # the last address is the broadcast's
        need = subnet.max_prefixlen - (number + 1).bit_length()
        yield f"{subnet} has no number {number}, which host {last} would get: make it /{need} or larger"


def _nat(topology: Topology, subnets: list[tuple[Path, Subnet]]) -> list[tuple[Path, str]]:
    if not topology.nat:
        return []
    first = topology.networks[0]
    if first.kind in OVERLAYS or not first.subnet:
        return [
            (("nat",), "the first network must be a bridge or routed, and have an IPv4 subnet, for hosts behind nat")
        ]
    outside = sorted(set(topology.nat) - set(members(topology, first)))
    if outside:
        return [(("nat",), f"host {outside[0]} is not on the first network, where nat is: leave it out")]
    subnet = _parsed(topology.nat_subnet, 4)
    if isinstance(subnet, str):
        return [(("nat_subnet",), subnet)]
    subnets.append((("nat_subnet",), subnet))
    return [(("nat_subnet",), text) for text in _too_small(subnet, max(topology.nat))]


def _overlaps(subnets: list[tuple[Path, Subnet]]) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for index, (path, subnet) in enumerate(subnets):
        for earlier, other in subnets[:index]:
            if subnet.version == other.version and subnet.overlaps(other):
                text = f"{subnet} overlaps {other} of {'.'.join(map(str, earlier))}: each network needs its own"
                found.append((path, text))
    return found


def _parsed(text: str, version: int) -> Subnet | str:
    example = "10.77.0.0/24" if version == 4 else "fd77::/64"
    try:
        subnet: IPv4Network | IPv6Network = ip_network(text)
    except ValueError as error:
        return f"{error}; write an IPv{version} subnet such as {example}"
    return subnet if subnet.version == version else f"{text} is no IPv{version} subnet: write one such as {example}"
