"""An interface has lost its addresses, and is up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.keeping import addresses_and_routes
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class AddressMissing(HostFault, frozen=True, tag="address-missing"):
    """`interface` of `hosts` has no address, no IPv6 link-local one either."""

    interface: str = "eth0"


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: AddressMissing) -> Iterator[None]:
    """Take them away."""
    with addresses_and_routes(host, spec.interface):
        host.ip("addr", "flush", "dev", spec.interface)
        yield


FAULT = Fault(spec=AddressMissing, make=make, leads_to=("interface-without-address",))
