"""Packets overtake each other."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.impaired import Way, missing, relayed
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Reorder(HostFault, frozen=True, tag="reorder"):
    """Of the packets of `hosts` on `interface`, `percent` are held back for `milliseconds`, so that later ones overtake.

    `way`: those that arrive at the host ("in"), that it sends ("out"), or "both"."""

    percent: float
    milliseconds: float = 5.0
    way: Way = "both"
    interface: str = "eth0"


@on_each_host
def make(_: Lab, host: Host, spec: Reorder) -> AbstractContextManager[None]:
    """Put a relay on the cable."""
    return relayed(host, spec.interface, spec.way, reorder=spec.percent / 100, hold=spec.milliseconds / 1e3)


FAULT = Fault(spec=Reorder, make=make, leads_to=(), missing=missing)
