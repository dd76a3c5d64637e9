"""A path swallows large packets and says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.layers import link
from commcheck.lab.faults.neighbours import forget_paths
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Mtu(HostFault, frozen=True, tag="mtu"):
    """Frames of `hosts` above `mtu` bytes are lost in the cable of `interface`: its other end has a smaller MTU."""

    mtu: int = 1400
    interface: str = "eth0"


@on_each_host
@contextmanager
def make(lab: Lab, host: Host, spec: Mtu) -> Iterator[None]:
    """Lower the MTU of the other end."""
    space, port = cable(host, spec.interface)
    # Large segments are cut in the host (gso_max_segs 1): virtual links would otherwise carry a segment of 64 KiB past
    # every MTU, which no real cable does.
    try:
        with link(host, spec.interface, "gso_max_segs", "1"), link(space, port, "mtu", str(spec.mtu)):
            yield
    finally:
        forget_paths(lab)  # where the other end is a router, it has told the senders


FAULT = Fault(spec=Mtu, make=make, leads_to=("mtu-mismatch",))
