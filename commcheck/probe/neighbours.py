"""Who is at the other end of the first hop towards an address: the kernel's tables of routes and neighbours.

They are read after an attempt of ours has failed, in the network that the calling thread is in."""

from __future__ import annotations

import errno
import ipaddress
import socket

from commcheck.probe.routes import parse_ipv4

_NOBODY = "0x0"
"""The flags of a neighbour (linux/if_arp.h) that has not answered."""


def router(address: str) -> str:
    """The router that an IPv4 address is reached through; empty where it is in a network of our own, or not known."""
    try:
        target = ipaddress.IPv4Address(address)
        with open("/proc/thread-self/net/route", encoding="ascii") as table:
            ways = [(ipaddress.IPv4Network(r.destination, strict=False), r.gateway) for r in parse_ipv4(table.read())]
    except (OSError, ValueError):
        return ""
    fitting = [(network.prefixlen, gateway) for network, gateway in ways if target in network]
    longest = max((length for length, _ in fitting), default=0)
    return next((gateway for length, gateway in fitting if length == longest), "")


def unanswered(address: str) -> bool:
    """The kernel's table of neighbours has this IPv4 address, or the router towards it, without a hardware address: ARP
    is not answered."""
    return _flags(router(address) or address) == _NOBODY


def sent_back(family: int, target: tuple[object, ...], number: int) -> bool:
    """Whether the error of a connection is the answer of somebody there, as the firewalls give that reject with an ICMP
    message: the kernel has a way, and the host itself answers ARP, or says that it forbids this."""
    if number not in (errno.EHOSTUNREACH, errno.EACCES) or not _has_a_way(family, target):
        return False
    if number == errno.EACCES:  # "administratively prohibited" of ICMPv6; a route that forbids is no way
        return True
    address = str(target[0])
    return not router(address) and _flags(address) not in ("", _NOBODY)


def _has_a_way(family: int, target: tuple[object, ...]) -> bool:
    """A datagram socket that is connected has looked up its route, and has sent nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect(target)
    except OSError:
        return False
    return True


def _flags(address: str) -> str:
    """What the table of neighbours says of an IPv4 address; empty where it is not in it."""
    try:
        with open("/proc/thread-self/net/arp", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except OSError:
        return ""
    return next((row[2] for row in rows if row[0] == address and len(row) > 2), "")
