"""Which address this rank's gloo will bind to and publish, found by gloo's own rules."""

from __future__ import annotations

import socket

import netifaces


def gloo_address(interface: str) -> str:
    """The address that gloo tells the other ranks.

    With GLOO_SOCKET_IFNAME: the first address of the first interface named there. Without: the first address of the
    own host name that this host can bind to, else loopback (ProcessGroupGloo::createDefaultDevice).
    Empty when the interface does not exist or has no address: gloo will say so itself."""
    if interface:
        return _first_address(interface.split(",", maxsplit=1)[0])
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        return "127.0.0.1"
    for family, _, _, _, where in found:
        if _bindable(family, where):
            return str(where[0])
    return "127.0.0.1"


def _first_address(interface: str) -> str:
    try:
        families = netifaces.ifaddresses(interface)
    except (ValueError, OSError):
        return ""
    for family in (netifaces.AF_INET, netifaces.AF_INET6):
        for entry in families.get(family, []):
            return str(entry["addr"])
    return ""


def _bindable(family: int, where: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((where[0], 0, *where[2:]))
        except OSError:
            return False
    return True
