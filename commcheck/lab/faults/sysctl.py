"""A kernel setting of a host's network has another value."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import layers
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Sysctl(HostFault, frozen=True, tag="sysctl"):
    """The sysctl `name` (below "net.") of `hosts` is `value`."""

    name: str
    value: str


@on_each_host
def make(_: Lab, host: Host, spec: Sysctl) -> AbstractContextManager[None]:
    """Set it."""
    return layers.sysctl(host, spec.name, spec.value)


FAULT = Fault(spec=Sysctl, make=make, leads_to=())
