"""Kernel settings of one host's network, such as too few ports for outgoing connections."""

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.host import Host


@contextmanager
def changed(host: Host, name: str, value: str) -> Iterator[None]:
    """The sysctl `name` is `value` while this is open."""
    before = host.sysctl(name, value)
    try:
        yield
    finally:
        host.sysctl(name, before)


@contextmanager
def narrow_ports(host: Host, first: int = 50000, last: int = 50001) -> Iterator[None]:
    """The host has the ports `first` to `last`, and no others, for connections that it opens."""
    with changed(host, "net.ipv4.ip_local_port_range", f"{first} {last}"):
        yield
