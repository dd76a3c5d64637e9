"""An interface is administratively down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.keeping import addresses_and_routes
from commcheck.lab.faults.layers import admin_down
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class LinkDown(HostFault, frozen=True, tag="link-down"):
    """`interface` of `hosts` is down, as after `ip link set down`."""

    interface: str = "eth0"


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: LinkDown) -> Iterator[None]:
    """Set it down."""
    with addresses_and_routes(host, spec.interface), admin_down(host, spec.interface):
        yield


FAULT = Fault(spec=LinkDown, make=make, leads_to=("interface-down",))
