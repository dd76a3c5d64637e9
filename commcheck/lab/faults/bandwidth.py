"""A link that is slow, and otherwise in order."""

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.host import Host


@contextmanager
def limited(host: Host, rate: str = "10mbit", interface: str = "eth0") -> Iterator[None]:
    """What the host sends through `interface` is limited to `rate` (as tc writes rates)."""
    host.command(
        ["tc", "qdisc", "add", "dev", interface, "root", "tbf", "rate", rate, "burst", "64kb", "latency", "1s"]
    )
    try:
        yield
    finally:
        host.command(["tc", "qdisc", "del", "dev", interface, "root"])
