"""The virtual hosts of a lab and the networks between them: what a scenario's `[lab]` says. Pure data.

`commcheck.lab.validity.problems` says what is wrong with one."""

from __future__ import annotations

from typing import Literal

from commcheck.model.base import Value

Kind = Literal["bridge", "vlan", "vxlan", "routed"]


class Network(Value, frozen=True):
    """One network: the interface that each of its hosts has on it, and how the hosts are joined.

    `bridge`: one switch. `vlan`, `vxlan`: an overlay on the network whose interface is `over`, which comes before it.
    `routed`: every host has a subnet of its own (host i the (i+1)-th /24, or /64, of `subnet`, `subnet6`), and a router
    forwards between them. Host i has number 10 + i in its subnet, the switch or router number 1."""

    interface: str = "eth0"
    kind: Kind = "bridge"
    subnet: str | None = "10.77.0.0/24"  # empty or None, with subnet6: IPv6 only
    subnet6: str | None = None
    over: str = "eth0"  # vlan and vxlan alone
    tag: int = 100  # vlan: the VLAN id; vxlan: the network identifier
    mtu: int | None = None  # bytes, of the hosts' interfaces; None: 1500, or what an overlay leaves of it
    hosts: tuple[int, ...] = ()  # which hosts are on it; empty: all


class Topology(Value, frozen=True):
    """A lab. The hosts are called h0, h1, ..."""

    hosts: int = 2
    networks: tuple[Network, ...] = (Network(),)
    names: bool = True  # every hosts file knows every host, by its address on the first network that it is on
    docker0: bool = False  # a bridge with Docker's address, the same on every host
    down: str = ""  # name of a further interface that has an address and is down
    bare: str = ""  # name of a further interface that is up and has no address
    gateway: bool = False  # a default route through the switch (which forwards nothing between bridges)
    nat: tuple[int, ...] = ()  # hosts behind an address-translating router: they reach the others, not the reverse
    nat_subnet: str = "192.168.200.0/24"  # where those hosts are, in place of the first network's subnet
    shm: int | None = None  # bytes: each host has a /dev/shm of its own, of this size; None: the machine's
    uptimes: tuple[int, ...] = ()  # seconds by which each host has been up for longer than this machine; empty: none
