"""A route is missing."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import routes
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class RouteMissing(HostFault, frozen=True, tag="route-missing"):
    """`hosts` have no route to `destination` (written as `ip route` prints it: "10.77.0.0/24", "default")."""

    destination: str


@on_each_host
def make(_: Lab, host: Host, spec: RouteMissing) -> AbstractContextManager[None]:
    """Delete it."""
    return routes.removed(host, spec.destination)


FAULT = Fault(spec=RouteMissing, make=make, leads_to=("route-missing",))
