"""Packets arrive twice."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.impaired import Way, missing, relayed
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class DuplicatePackets(HostFault, frozen=True, tag="duplicate-packets"):
    """Of the packets of `hosts` on `interface`, `percent` arrive twice.

    `way`: those that arrive at the host ("in"), that it sends ("out"), or "both"."""

    percent: float
    way: Way = "both"
    interface: str = "eth0"


@on_each_host
def make(_: Lab, host: Host, spec: DuplicatePackets) -> AbstractContextManager[None]:
    """Put a relay on the cable."""
    return relayed(host, spec.interface, spec.way, duplicate=spec.percent / 100)


FAULT = Fault(spec=DuplicatePackets, make=make, leads_to=(), missing=missing)
