"""Packets are lost by chance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.firewall import chain
from commcheck.lab.faults.impaired import Way
from commcheck.lab.faults.layers import link
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Loss(HostFault, frozen=True, tag="loss"):
    """Of the frames of `hosts` on `interface`, `percent` are lost by chance.

    `way`: those that arrive at the host ("in"), that it sends ("out"), or "both"."""

    percent: float
    way: Way = "both"
    interface: str = "eth0"


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: Loss) -> Iterator[None]:
    """Load a rule at each end of the cable."""
    # Each end drops what comes out of the cable: a rule on what it puts in would tell the sender. Large segments are
    # cut first, so that packets are lost and not 64 KiB at once.
    switch, port = cable(host, spec.interface)
    rule = f"numgen random mod 10000 < {round(spec.percent * 100)} counter drop"
    with ExitStack() as stack:
        for arrives, device, far, sends in ((host, spec.interface, switch, port), (switch, port, host, spec.interface)):
            if spec.way == ("out" if arrives is host else "in"):
                continue
            stack.enter_context(link(far, sends, "gso_max_segs", "1"))
            hook = f'filter hook ingress device "{device}"'
            stack.enter_context(chain(arrives, [rule], family="netdev", hook=hook))
        yield


FAULT = Fault(spec=Loss, make=make, leads_to=("link-lossy",))
