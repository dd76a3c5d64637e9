"""A link is slow, and otherwise in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Bandwidth(HostFault, frozen=True, tag="bandwidth"):
    """What `hosts` send through `interface` is limited to `rate`, written as tc does ("10mbit")."""

    rate: str = "10mbit"
    interface: str = "eth0"


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: Bandwidth) -> Iterator[None]:
    """Put a token bucket on it."""
    where = ["dev", spec.interface, "root"]
    host.command(["tc", "qdisc", "add", *where, "tbf", "rate", spec.rate, "burst", "64kb", "latency", "1s"])
    try:
        yield
    finally:
        host.command(["tc", "qdisc", "del", *where])


FAULT = Fault(spec=Bandwidth, make=make, leads_to=("link-slow",))
