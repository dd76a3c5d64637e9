"""A host does not ask for another one's hardware address: somebody has told it which it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import host as numbered
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.neighbours import forget
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class NeighbourFixed(HostFault, frozen=True, tag="neighbour-fixed"):
    """`hosts` have a permanent entry for the address of host `other`: the hardware address `hardware`, or the one that it really
    has where that is empty, which is no fault."""

    other: int
    hardware: str = ""
    interface: str = "eth0"


@on_each_host
@contextmanager
def make(lab: Lab, host: Host, spec: NeighbourFixed) -> Iterator[None]:
    """Add the entry; let both forget each other afterwards."""
    other = numbered(lab, spec.other)
    own = other.path(f"/sys/class/net/{spec.interface}/address").read_text(encoding="ascii").strip()
    address = other.address_on(spec.interface)
    entry = (address, "lladdr", spec.hardware or own, "nud", "permanent", "dev", spec.interface)
    host.ip("neigh", "replace", *entry)
    try:
        yield
    finally:
        host.ip("neigh", "del", address, "dev", spec.interface)
        forget(lab, other)


FAULT = Fault(spec=NeighbourFixed, make=make, leads_to=("neighbour-wrong",))
