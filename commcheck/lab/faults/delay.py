"""Packets come late, as over a long way."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.impaired import Way, missing, relayed
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Delay(HostFault, frozen=True, tag="delay"):
    """Packets of `hosts` on `interface` take `milliseconds` longer, and up to `jitter` milliseconds more by chance.

    `way`: those that arrive at the host ("in"), that it sends ("out"), or "both": a round trip then takes twice as long.
    Packets of one way do not overtake each other."""

    milliseconds: float
    jitter: float = 0.0
    way: Way = "both"
    interface: str = "eth0"


@on_each_host
def make(_: Lab, host: Host, spec: Delay) -> AbstractContextManager[None]:
    """Put a relay on the cable."""
    return relayed(host, spec.interface, spec.way, delay=spec.milliseconds / 1e3, jitter=spec.jitter / 1e3)


FAULT = Fault(spec=Delay, make=make, leads_to=("link-slow",), missing=missing)
