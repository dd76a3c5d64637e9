"""Who is at the other end of the first hop towards an address: the kernel's tables of routes and neighbours.

They are read after an attempt of ours has failed, in the network that the calling thread is in."""

from __future__ import annotations

import errno
import ipaddress
import socket

from commcheck.probe.routes import parse_ipv4

_NOBODY = "0x0"
"""The flags of a neighbour (linux/if_arp.h) that has not answered."""
_COMPLETE, _PERMANENT, _PROXY = 0x2, 0x4, 0x8
"""Flags (linux/if_arp.h) of one whose hardware address is known, of one for which it was set by somebody, and of one for which
this host answers itself."""
_ETHERNET = 17
"""Letters of a hardware address that is told whole: those of InfiniBand are longer, and cut off there."""


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


def answers(address: str) -> bool:
    """Whether the kernel has a hardware address for this IPv4 address that it has asked for itself."""
    flags = _number(_flags(address))
    return bool(flags & _COMPLETE) and not flags & _PERMANENT


def fixed(address: str) -> str:
    """The hardware address that somebody has set for this IPv4 address of a network of our own; empty where the kernel asks."""
    if router(address):
        return ""
    row = _row(address)
    if len(row) < 4 or len(row[3]) != _ETHERNET:
        return ""
    return row[3] if _number(row[2]) & (_PERMANENT | _PROXY) == _PERMANENT else ""


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
    row = _row(address)
    return row[2] if len(row) > 2 else ""


def _number(flags: str) -> int:
    return int(flags, 16) if flags else 0


def _row(address: str) -> list[str]:
    try:
        with open("/proc/thread-self/net/arp", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    return next((row for row in rows[1:] if row and row[0] == address), [])
