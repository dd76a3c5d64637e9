"""A cable is pulled: the interface is up and has no carrier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.keeping import addresses_and_routes
from commcheck.lab.faults.layers import admin_down
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Unplug(HostFault, frozen=True, tag="unplug"):
    """The cable in `interface` of `hosts` is pulled."""

    interface: str = "eth0"


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: Unplug) -> Iterator[None]:
    """Set the other end down."""
    space, port = cable(host, spec.interface)
    with addresses_and_routes(host, spec.interface), addresses_and_routes(space, port), admin_down(space, port):
        yield


FAULT = Fault(spec=Unplug, make=make, leads_to=("interface-down",))
