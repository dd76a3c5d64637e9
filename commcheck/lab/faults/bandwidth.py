"""A link is slow, and otherwise in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Bandwidth(HostFault, frozen=True, tag="bandwidth"):
    """What `hosts` send through `interface` is limited to `rate`, written as tc does ("10mbit")."""

    rate: str = "10mbit"
    interface: str = "eth0"


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


@on_each_host
def make(_: Lab, host: Host, spec: Bandwidth) -> AbstractContextManager[None]:
    """Put a token bucket on it."""
    return limited(host, spec.rate, spec.interface)


FAULT = Fault(spec=Bandwidth, make=make, leads_to=("link-slow",))
