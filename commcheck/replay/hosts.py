"""Recorded facts of hosts -> what has to be built so that virtual hosts show the same facts. Pure.

Facts do not show cables. Interfaces are taken to be on one network where their addresses are of one subnet; what stands
on every host alike (Docker's bridge) is on none. A gateway is taken to route between all networks that name one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address, ip_interface

from commcheck.lab.network import SWITCH, Wire
from commcheck.lab.validity import MOST_HOSTS
from commcheck.model.base import Value
from commcheck.model.case import HostFacts, Interface, Route
from commcheck.model.topology import Network, Topology

BASE_NAME = "ccnet"
"""How the interfaces of the lab are called before each gets the name that was recorded."""
VIRTUAL = ("docker", "br-", "virbr", "cni", "lxcbr", "lxdbr", "podman", "veth", "tunl", "dummy")
"""Beginnings of names of interfaces that lead to no other host by a common cable."""
SMALL_SHM = 1 << 30
"""Bytes of /dev/shm below which a host gets one of that size: containers have 64 MiB; a lack of gigabytes stops no gloo."""


class Dressed(Wire, frozen=True):
    """An interface with the addresses that were recorded, in place of those that a lab would give it."""

    own: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()

    def interfaces(self, number: int) -> list[object]:  # type: ignore[override]  # IPv4Interface and IPv6Interface
        """Its addresses; those of the gateways for the switch's number."""
        chosen = self.gateways or self.own if number == SWITCH else self.own
        return [ip_interface(text) for text in chosen]


class Dress(Value, frozen=True):
    """What is done to one host of the lab: `commands` are lines for `ip -batch`, `unplugged` the numbers of networks
    whose cable is out."""

    name: str
    hostname: str
    commands: tuple[str, ...]
    hosts_file: str
    wires: tuple[Dressed, ...]
    unplugged: tuple[int, ...] = ()
    port_range: tuple[int, int] | None = None


class Rebuilt(Value, frozen=True):
    """A lab to build, and what to change in it then. `gateways`: addresses in the switch, by the network's number.
    `mtus`: of the switch's side of each network. `notes`: what could not be rebuilt, or is taken to be so."""

    topology: Topology
    dresses: tuple[Dress, ...]
    gateways: dict[int, tuple[str, ...]]
    mtus: tuple[int, ...]
    notes: tuple[str, ...]


class _Net:
    """One network while it is put together: the interface of each host by the host's number."""

    def __init__(self) -> None:
        self.members: dict[int, list[Interface]] = {}
        self.subnets: set[str] = set()

    def add(self, host: int, interface: Interface) -> None:
        self.members.setdefault(host, []).append(interface)
        self.subnets |= _subnets(interface)


def rebuilt(hosts: tuple[HostFacts, ...]) -> Rebuilt:
    """The lab for these hosts, in this order."""
    notes: list[str] = []
    if len(hosts) > MOST_HOSTS:
        notes.append(f"{len(hosts) - MOST_HOSTS} of {len(hosts)} hosts are left out: a lab has {MOST_HOSTS} at most")
        hosts = hosts[:MOST_HOSTS]
    networks = _networks(hosts)
    alone = set(range(len(hosts))) - {h for net in networks for h in net.members}
    placeholder = len(networks) if alone else None
    topology = Topology(
        hosts=len(hosts),
        networks=tuple(
            Network(
                interface=f"{BASE_NAME}{i}", subnet=f"10.{200 + i // 250}.{i % 250}.0/24", hosts=tuple(sorted(members))
            )
            for i, members in enumerate([*(n.members for n in networks), *([alone] if alone else [])])
        ),
        names=False,
        shm=_shm(hosts, notes),
    )
    gateways = {i: _gateways(net, hosts) for i, net in enumerate(networks)}
    known = {g.partition("/")[0] for found in gateways.values() for g in found}
    dresses = tuple(
        _dress(number, facts, networks, gateways, known, placeholder if number in alone else None, notes)
        for number, facts in enumerate(hosts)
    )
    mtus = tuple(max((i.mtu for own in n.members.values() for i in own), default=1500) for n in networks)
    return Rebuilt(
        topology=topology,
        dresses=dresses,
        gateways={i: found for i, found in gateways.items() if found},
        mtus=tuple(min(mtu, 65535) for mtu in mtus),
        notes=tuple(dict.fromkeys(notes)),
    )


# -- networks


def _networks(hosts: tuple[HostFacts, ...]) -> list[_Net]:
    """Interfaces that a cable goes into, put together by subnet."""
    held = Counter(a.address for h in hosts for i in h.interfaces for a in i.addresses)
    nets: list[_Net] = []
    for number, facts in enumerate(hosts):
        for interface in facts.interfaces:
            if not _cabled(interface):
                continue
            own = _subnets(interface)
            shared = not _virtual(interface, held, len(hosts))
            joined = [n for n in nets if shared and n.subnets & own and number not in n.members]
            if not joined:
                nets.append(_Net())
                joined = nets[-1:]
                if not shared:
                    joined[0].members[number] = [interface]
                    continue
            first, *others = joined
            for other in others:  # an interface with two subnets joins what was two networks so far
                if not other.members.keys() & first.members.keys():
                    first.members |= other.members
                    first.subnets |= other.subnets
                    nets.remove(other)
            first.add(number, interface)
    return nets


def _cabled(interface: Interface) -> bool:
    """It is made as the end of a cable: all but the loopback, and bridges that nothing is plugged into."""
    return not interface.loopback and (interface.carrier or not interface.name.startswith(VIRTUAL))


def _virtual(interface: Interface, held: Counter[str], hosts: int) -> bool:
    """It is on no network with other hosts."""
    same = hosts > 2 and any(held[a.address] == hosts for a in interface.addresses if not _link_local(a.address))
    return interface.name.startswith(VIRTUAL) or same


def _link_local(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_link_local


def _own(interface: Interface) -> tuple[str, ...]:
    """Its addresses with their prefixes, without those that the kernel makes by itself."""
    return tuple(
        f"{a.address}/{a.prefix}" for a in interface.addresses if "%" not in a.address and not _link_local(a.address)
    )


def _subnets(interface: Interface) -> set[str]:
    return {str(ip_interface(text).network) for text in _own(interface)}


def _gateways(net: _Net, hosts: tuple[HostFacts, ...]) -> tuple[str, ...]:
    """The addresses of the routers that routes of the network's hosts name, none of them a recorded host."""
    taken = {a.address for h in hosts for i in h.interfaces for a in i.addresses}
    found: dict[str, None] = {}
    for number, interfaces in net.members.items():
        names = {i.name for i in interfaces}
        for route in hosts[number].routes:
            if (
                route.gateway
                and route.interface in names
                and route.gateway not in taken
                and not _link_local(route.gateway)
            ):
                subnet = next(
                    (
                        s
                        for i in interfaces
                        for s in map(ip_interface, _own(i))
                        if ip_address(route.gateway) in s.network
                    ),
                    None,
                )
                if subnet is not None:
                    found[f"{route.gateway}/{subnet.network.prefixlen}"] = None
    return tuple(found)


# -- one host


def _dress(
    number: int,
    facts: HostFacts,
    networks: list[_Net],
    gateways: dict[int, tuple[str, ...]],
    routers: set[str],
    placeholder: int | None,
    notes: list[str],
) -> Dress:
    lines: list[str] = []
    wires: list[Dressed] = []
    unplugged: list[int] = []
    late: list[str] = []
    if placeholder is not None:
        lines.append(f"link del {BASE_NAME}{placeholder}")
    for index, net in enumerate(networks):
        for interface in net.members.get(number, ())[:1]:
            base = f"{BASE_NAME}{index}"
            lines += [f"addr flush dev {base}", f"link set {base} down", f"link set {base} name {interface.name}"]
            lines += _set_up(interface)
            wires.append(
                Dressed(
                    name=interface.name, kind="bridge", network=index, bridge=f"br{index}", subnet=None,
                    mtu=interface.mtu, own=_own(interface), gateways=gateways[index],
                )
            )  # fmt: skip
            if interface.up and not interface.carrier:
                unplugged.append(index)
    for interface in facts.interfaces:
        if interface.loopback:
            late += [] if interface.up else [f"link set {interface.name} down"]
        elif not _cabled(interface):
            lines += [f"link add {interface.name} type bridge", *_set_up(interface)]
    lines += _routes(facts, routers, notes)
    return Dress(
        name=facts.host,
        hostname=facts.hostname or facts.host,
        commands=(*lines, *late),
        hosts_file=_hosts_file(facts, notes),
        wires=tuple(wires),
        unplugged=tuple(unplugged),
        port_range=facts.port_range,
    )


def _set_up(interface: Interface) -> list[str]:
    lines = [f"link set {interface.name} mtu {max(68, min(interface.mtu, 65535))}"]
    for text in _own(interface):
        more = " nodad" if ":" in text else " broadcast +"
        lines.append(f"addr add {text} dev {interface.name}{more}")
    return [*lines, f"link set {interface.name} {'up' if interface.up else 'down'}"]


def _routes(facts: HostFacts, routers: set[str], notes: list[str]) -> list[str]:
    """The routes that were there and that the kernel does not make by itself; and without those that it does and that
    were not there."""
    lines = []
    there = {(r.destination, r.interface) for r in facts.routes}
    names = {i.name: i for i in facts.interfaces if not i.loopback}
    automatic = {(s, i.name) for i in names.values() if i.up for s in _subnets(i)}
    for destination, name in sorted(automatic - there):
        if facts.routes and not destination.endswith(("/32", "/128")):
            lines.append(f"route del {destination} dev {name}")
    for route in facts.routes:
        if route.interface not in names or (route.destination, route.interface) in automatic or _own_route(route):
            continue
        via = f" via {route.gateway}" if route.gateway else ""
        lines.append(f"route replace {route.destination}{via} dev {route.interface}")
        if route.gateway and route.gateway not in routers:
            notes.append(f"{facts.host}: the gateway {route.gateway} is on none of its subnets, and is not rebuilt")
    return lines


def _own_route(route: Route) -> bool:
    """One that every interface has for addresses that are its network's own."""
    return route.destination.startswith(("fe80:", "ff00:")) or (
        ":" in route.destination and route.gateway.startswith("fe80")
    )


def _hosts_file(facts: HostFacts, notes: list[str]) -> str:
    """The names as they were resolved there, whoever told them. A name that had no address has none."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for lookup in facts.lookups:
        if lookup.kind != "forward" or lookup.name == "localhost" or _is_address(lookup.name):
            continue
        if "no answer" in lookup.error:
            notes.append(f"{facts.host}: the look-up of {lookup.name} had no answer; here it fails at once")
        lines += [f"{address.partition('%')[0]} {lookup.name}" for address in lookup.addresses]
    return "\n".join(lines) + "\n"


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _shm(hosts: Iterable[HostFacts], notes: list[str]) -> int | None:
    """One size for all hosts: the least, where it is small enough to matter."""
    small = {h.shm_bytes for h in hosts if h.shm_bytes is not None and 0 < h.shm_bytes < SMALL_SHM}
    if len(small) > 1:
        notes.append(f"/dev/shm had different sizes; here every host has {min(small)} bytes")  # noqa: S108
    return max(min(small), 1 << 12) if small else None
