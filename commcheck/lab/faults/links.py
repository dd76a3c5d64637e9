"""An interface that is down, or whose cable is pulled, or that does not exist any more."""

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.host import Host
from commcheck.lab.network import port


@contextmanager
def down(host: Host, interface: str = "eth0") -> Iterator[None]:
    """The interface is administratively down."""
    host.ip("link", "set", "dev", interface, "down")
    try:
        yield
    finally:
        host.ip("link", "set", "dev", interface, "up")


@contextmanager
def unplugged(host: Host, wire: int = 0) -> Iterator[None]:
    """The cable of network number `wire` is pulled: the interface is up and has no carrier."""
    name = port(wire, host.number)
    host.switch.ip("link", "set", "dev", name, "down")
    try:
        yield
    finally:
        host.switch.ip("link", "set", "dev", name, "up")
