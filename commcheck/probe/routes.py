"""The routing tables of the network namespace that this is called in, from /proc/net."""

import struct
from collections.abc import Iterator
from contextlib import suppress

from commcheck.model.case import Route
from commcheck.probe.text import read_text

_UP, _GATEWAY, _REJECT = 0x1, 0x2, 0x200  # RTF_UP, RTF_GATEWAY, RTF_REJECT of linux/route.h
_LOCAL = 0x80000000  # RTF_LOCAL of linux/ipv6_route.h: an address of ours, not a way to somebody


def routes() -> tuple[Route, ...]:
    """The unicast routes that are up, IPv4 first, in the kernel's order. Raises OSError when /proc/net is not there."""
    found = list(parse_ipv4(read_text("/proc/self/net/route")))
    with suppress(FileNotFoundError):  # IPv6 is turned off in this kernel
        found.extend(parse_ipv6(read_text("/proc/self/net/ipv6_route")))
    return tuple(found)


def parse_ipv4(text: str) -> Iterator[Route]:
    """The rows of /proc/net/route; a row of another form is left out."""
    import _socket  # the C half of `socket`, without the 35 ms of Python around it

    for line in text.splitlines()[1:]:
        cells = line.split()
        try:
            name, destination, gateway, flags, mask = cells[0], cells[1], cells[2], int(cells[3], 16), cells[7]
            # Addresses are printed as numbers of the host's own byte order.
            packed = [struct.pack("=I", int(cell, 16)) for cell in (destination, gateway, mask)]
            network, via = _socket.inet_ntop(_socket.AF_INET, packed[0]), _socket.inet_ntop(_socket.AF_INET, packed[1])
        except (IndexError, ValueError, struct.error):
            continue
        if not flags & _UP or flags & _REJECT:
            continue
        length = sum(byte.bit_count() for byte in packed[2])
        yield Route(destination=f"{network}/{length}", gateway=via if flags & _GATEWAY else "", interface=name)


def parse_ipv6(text: str) -> Iterator[Route]:
    """The rows of /proc/net/ipv6_route; local, multicast and reject rows and those of another form are left out."""
    import _socket

    for line in text.splitlines():
        cells = line.split()
        try:
            packed, length, via = bytes.fromhex(cells[0]), int(cells[1], 16), bytes.fromhex(cells[4])
            flags, name = int(cells[8], 16), cells[9]
            network = _socket.inet_ntop(_socket.AF_INET6, packed)
            gateway = _socket.inet_ntop(_socket.AF_INET6, via)
        except (IndexError, ValueError):
            continue
        if not flags & _UP or flags & (_REJECT | _LOCAL) or packed[0] == 0xFF:
            continue
        yield Route(destination=f"{network}/{length}", gateway=gateway if flags & _GATEWAY else "", interface=name)
