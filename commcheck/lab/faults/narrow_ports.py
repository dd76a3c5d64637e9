"""A host has too few ports for the connections that it opens."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.layers import sysctl
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class NarrowPorts(HostFault, frozen=True, tag="narrow-ports"):
    """`hosts` have the ports `first` to `last`, and no others, for connections that they open."""

    first: int = 50000
    last: int = 50001


@on_each_host
def make(_: Lab, host: Host, spec: NarrowPorts) -> AbstractContextManager[None]:
    """Narrow the range."""
    return sysctl(host, "net.ipv4.ip_local_port_range", f"{spec.first} {spec.last}")


FAULT = Fault(spec=NarrowPorts, make=make, leads_to=("port-range-exhausted",))
