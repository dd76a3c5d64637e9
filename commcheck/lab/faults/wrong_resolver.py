"""A name server that answers wrongly."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import each
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.resolvers import Zone, served, zone_of
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class WrongResolver(HostFault, frozen=True, tag="wrong-resolver"):
    """For `hosts`, their name server knows nothing of `names` ("h0"; default all), or says that they are at `address` ({h1} is
    the address of host 1); no hosts file helps."""

    names: tuple[str, ...] = ()
    address: str = ""


@on_each_host
def make(lab: Lab, host: Host, spec: WrongResolver) -> AbstractContextManager[None]:
    """Start a name server on the host."""
    right = zone_of(lab)
    wrong = (each.address(lab, spec.address),) if spec.address else ()
    names = {name: wrong if name in (spec.names or right) else addresses for name, addresses in right.items()}
    return served(host, Zone(names=names), hosts_files=False)


FAULT = Fault(
    spec=WrongResolver,
    make=make,
    leads_to=("host-unresolvable", "host-resolves-differently", "host-resolves-to-loopback"),
)
