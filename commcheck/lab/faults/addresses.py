"""Addresses that are missing, or that two hosts have."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from commcheck.lab.host import Host
from commcheck.lab.network import FIRST_HOST


@contextmanager
def removed(host: Host, interface: str = "eth0") -> Iterator[None]:
    """The interface keeps running without its addresses, IPv6 link-local ones included."""
    wire = next(item for item in host.wires if item.name == interface)
    host.ip("addr", "flush", "dev", interface)
    try:
        yield
    finally:
        for item in wire.interfaces(FIRST_HOST + host.number):
            host.ip("addr", "add", str(item), "dev", interface, *(["nodad"] if item.version == 6 else []))


@contextmanager
def duplicated(victim: Host, thief: Host, believers: Sequence[Host] = (), interface: str = "eth0") -> Iterator[None]:
    """`thief` has the address of `victim` as well as its own, and the `believers` reach the thief by it.

    On a real network the last ARP answer decides who is believed; here the believers' neighbour entries do, in the
    state "stale", which the kernel verifies: the thief really has to answer for the address."""
    address = victim.address
    mac = thief.command(["cat", f"/proc/{thief.pid}/root/sys/class/net/{interface}/address"]).strip()
    thief.ip("addr", "add", f"{address}/32", "dev", interface)
    for host in believers:
        host.ip("neigh", "replace", address, "lladdr", mac, "dev", interface, "nud", "stale")
    try:
        yield
    finally:
        thief.ip("addr", "del", f"{address}/32", "dev", interface)
        for host in believers:
            host.ip("neigh", "flush", "to", address)
