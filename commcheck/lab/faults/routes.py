"""Routes that are missing, and routes that should not be there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from commcheck.errors import LaunchError
from commcheck.lab.host import Space


@contextmanager
def removed(host: Space, destination: str) -> Iterator[None]:
    """The host has no route to `destination` (a route as `ip route` prints it) while this is open."""
    family = "-6" if ":" in destination else "-4"
    lines = host.ip(family, "route", "show", destination).splitlines()
    if not lines:
        raise LaunchError(f"{host.name} has no route to {destination}")
    for line in lines:
        host.ip(family, "route", "del", *line.split())
    try:
        yield
    finally:
        for line in lines:
            host.ip(family, "route", "add", *line.split())


@contextmanager
def added(host: Space, route: Sequence[str]) -> Iterator[None]:
    """The host has `route`, in front of others to the same destination."""
    family = "-6" if any(":" in word for word in route) else "-4"
    host.ip(family, "route", "prepend", *route)
    try:
        yield
    finally:
        host.ip(family, "route", "del", *route)
