"""What the machines of a lab remember of each other: hardware addresses, and how large a packet may be."""

from __future__ import annotations

from commcheck.lab.host import Host
from commcheck.lab.lab import Lab


def forget(lab: Lab, host: Host) -> None:
    """Nobody remembers the hardware addresses of `host`. (A remembered one would hide for a while what has changed.)"""
    for wire in host.wires:
        for address in {wire.address(host.number), wire.address6(host.number)} - {""}:
            for space in (lab.switch, *(other for other in lab if other is not host)):
                space.ip("neigh", "flush", "to", address)


def forget_paths(lab: Lab) -> None:
    """No host remembers what it has learnt of the MTU on the way to others."""
    for host in lab:
        for family in ("-4", "-6"):
            host.ip(family, "route", "flush", "cache")
