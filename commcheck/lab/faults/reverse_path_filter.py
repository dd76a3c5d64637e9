"""A host drops what arrives on another interface than the one it would answer on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import each
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.layers import sysctl
from commcheck.lab.faults.routes import added
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class ReversePathFilter(HostFault, frozen=True, tag="reverse-path-filter"):
    """The route of `hosts` to host `peer` leads out of `through`, and what the peer sends arrives on `interface`, where the
    kernel's strict reverse-path filter drops it. Needs two networks; IPv4 only."""

    peer: int
    interface: str = "eth0"
    through: str = "eth1"


@on_each_host
@contextmanager
def make(lab: Lab, host: Host, spec: ReversePathFilter) -> Iterator[None]:
    """Make the filter strict, and the route another one."""
    address = each.host(lab, spec.peer).address_on(spec.interface)
    strict = sysctl(host, f"net.ipv4.conf.{spec.interface}.rp_filter", "1")
    with strict, added(host, [address, "dev", spec.through]):
        yield


FAULT = Fault(spec=ReversePathFilter, make=make, leads_to=("one-way-blocked", "port-dropped", "data-ports-dropped"))
