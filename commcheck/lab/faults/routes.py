"""Routes that are missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.host import Host


@contextmanager
def removed(host: Host, destination: str) -> Iterator[None]:
    """The host has no route to `destination` (a route as `ip route` prints it) while this is open."""
    line = host.ip("route", "show", destination).strip()
    host.ip("route", "del", destination)
    try:
        yield
    finally:
        host.ip("route", "add", *line.split())
