"""Build the links, addresses and routes of a lab, through netlink (pyroute2).

Each function here is called in a thread that has entered the network it builds (`Space.inside`). pyroute2 costs 0.2 s to
import, so only what builds or compares labs imports it, and this module alone says so when it is missing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EOPNOTSUPP
from importlib.util import find_spec
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import Any

from commcheck.errors import LaunchError
from commcheck.lab.network import (
    DOCKER_ADDRESS,
    DOWN_SUBNET,
    FIRST_HOST,
    NAT_BRIDGE,
    SWITCH,
    Wire,
    port,
    routes,
    wires,
)
from commcheck.model.topology import Topology

VXLAN_PORT = 4789
IFA_F_NODAD = 2  # duplicate address detection would keep an IPv6 address unusable for its first second or two
ADDRGENMODE_NONE = 1  # no link-local address either
MODULES = {"vlan": "8021q", "vxlan": "vxlan"}
ALL_MACS = "00:00:00:00:00:00"


def missing_package() -> str:
    """The sentence for a missing pyroute2; empty where it is installed."""
    if find_spec("pyroute2") is None:
        return "a lab of virtual hosts needs the Python package pyroute2: pip install 'commcheck[lab]'"
    return ""


def no_links(kind: str) -> str:
    """The sentence for a kernel that cannot make this kind of link."""
    return f"this kernel has no {kind} links: modprobe {MODULES[kind]}, or choose another kind of network"


def load() -> None:
    """Import pyroute2 now. Raises LaunchError when it is missing."""
    missing = missing_package()
    if missing:
        raise LaunchError(missing)
    import pyroute2

    _ = pyroute2


@contextmanager
def opened(where: str) -> Iterator[Any]:
    """A netlink socket in the network that this thread is in. Raises LaunchError for what the kernel refuses."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    with IPRoute() as ip:
        try:
            yield ip
        except NetlinkError as error:
            raise LaunchError(f"the network of {where} could not be built: {error}") from error


def build_switch(topology: Topology, pids: list[int]) -> None:
    """The bridges, and one cable to each host (`pids` hold their networks), in the switch's network."""
    everyone = [wires(topology, host) for host in range(topology.hosts)]
    with opened("the switch") as ip:
        ip.link("set", index=1, state="up")
        for index, network in enumerate(topology.networks):
            if network.kind == "bridge":
                on_bridge = [wire for own in everyone for wire in own if wire.network == index and not wire.nat]
                _bridge(ip, f"br{index}", Wire(
                    name=network.interface, kind="bridge", network=index, bridge=f"br{index}",
                    subnet=network.subnet, subnet6=network.subnet6,
                ).interfaces(SWITCH), max((wire.mtu for wire in on_bridge), default=None))  # fmt: skip
        if topology.nat:
            first = everyone[topology.nat[0]][0]
            _bridge(ip, NAT_BRIDGE, first.interfaces(SWITCH), first.mtu)
        for host, (own, pid) in enumerate(zip(everyone, pids, strict=True)):
            for wire in own:
                if wire.cable:
                    _cable(ip, wire, host, pid)
            for mark, name in (("d", topology.down), ("b", topology.bare)):
                if name:
                    _veth(ip, f"{mark}{host}", name, pid, None)
                    ip.link("set", index=_index(f"{mark}{host}"), state="up")


def build_host(topology: Topology, host: int) -> None:
    """Addresses, overlays, further interfaces and routes, in the network of host number `host`."""
    with opened(f"h{host}") as ip:
        ip.link("set", index=1, state="up")
        for wire in wires(topology, host):
            if wire.over:
                _overlay(ip, topology, wire, host)
            index = _index(wire.name)
            for item in wire.interfaces(FIRST_HOST + host):
                _address(ip, index, item)
            ip.link("set", index=index, mtu=wire.mtu, state="up")
        if topology.docker0:
            _bridge(ip, "docker0", [ip_interface(DOCKER_ADDRESS)], None)
        if topology.down:
            network = ip_network(DOWN_SUBNET)
            address = ip_interface(f"{network.network_address + FIRST_HOST + host}/{network.prefixlen}")
            _address(ip, _index(topology.down), address)
        if topology.bare:
            index = _index(topology.bare)
            no_address = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", ADDRGENMODE_NONE)]})]}
            if socket.has_ipv6:
                ip.link("set", index=index, IFLA_AF_SPEC=no_address)
            ip.link("set", index=index, state="up")
        for destination, gateway in routes(topology, host):
            ip.route("add", dst=destination, gateway=gateway)


def _bridge(ip: Any, name: str, addresses: list[IPv4Interface | IPv6Interface], mtu: int | None) -> None:
    ip.link("add", ifname=name, kind="bridge", br_forward_delay=0, br_mcast_snooping=0)
    index = _index(name)
    for item in addresses:
        _address(ip, index, item)
    more = {} if mtu is None else {"mtu": mtu}
    ip.link("set", index=index, state="up", **more)


def _cable(ip: Any, wire: Wire, host: int, pid: int) -> None:
    name = port(wire.network, host)
    _veth(ip, name, wire.name, pid, wire.mtu)
    index = _index(name)
    if wire.bridge:
        ip.link("set", index=index, master=_index(wire.bridge), state="up")
        return
    for item in wire.interfaces(SWITCH):
        _address(ip, index, item)
    ip.link("set", index=index, state="up")


def _veth(ip: Any, name: str, peer: str, pid: int, mtu: int | None) -> None:
    more = {} if mtu is None else {"mtu": mtu}
    ip.link("add", ifname=name, kind="veth", peer={"ifname": peer, "net_ns_pid": pid, **more}, **more)


def _overlay(ip: Any, topology: Topology, wire: Wire, host: int) -> None:
    below = _index(wire.over)
    try:
        if wire.kind == "vlan":
            ip.link("add", ifname=wire.name, kind="vlan", link=below, vlan_id=wire.tag)
            return
        carriers = {n: _carrier(topology, wire, n) for n in range(topology.hosts)}
        own = ip_interface(carriers[host])
        local = {"vxlan_local" if own.version == 4 else "vxlan_local6": str(own.ip)}
        ip.link(
            "add", ifname=wire.name, kind="vxlan", vxlan_id=wire.tag, vxlan_port=VXLAN_PORT, vxlan_link=below,
            vxlan_learning=0, **local,
        )  # fmt: skip
    except Exception as error:
        if getattr(error, "code", None) != EOPNOTSUPP:
            raise
        raise LaunchError(no_links(wire.kind)) from error
    # Every frame goes to every other tunnel end, so that there is nothing to learn, nor to forget between two uses.
    for number, carrier in carriers.items():
        if number != host and carrier:
            ip.fdb("append", ifindex=_index(wire.name), lladdr=ALL_MACS, dst=str(ip_interface(carrier).ip))


def _carrier(topology: Topology, wire: Wire, host: int) -> str:
    """The address of `host`'s end of an overlay's carrier; empty where it is not on the overlay."""
    own = {other.name: other for other in wires(topology, host)}
    if wire.name not in own:
        return ""
    return str(own[wire.over].interfaces(FIRST_HOST + host)[0])


def _address(ip: Any, index: int, item: IPv4Interface | IPv6Interface) -> None:
    more = {"broadcast": str(item.network.broadcast_address)} if item.version == 4 else {"flags": IFA_F_NODAD}
    ip.addr("add", index=index, address=str(item.ip), prefixlen=item.network.prefixlen, **more)


def _index(name: str) -> int:
    return socket.if_nametoindex(name)
