"""A route leads to the wrong place, or nowhere."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

from commcheck.lab.fault import Fault
from commcheck.lab.faults import each
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.routes import added
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class WrongRoute(HostFault, frozen=True, tag="wrong-route"):
    """For `hosts`, the way to `destination` is another one than it should be.

    `destination`: an address or a prefix; {h1} is the address of host 1, {h1.eth1} the one of its interface eth1. `action`:
    "unicast" sends packets to the router `via`, out of `interface`, or both; "blackhole" drops them, "unreachable" and
    "prohibit" refuse them."""

    destination: str
    action: Literal["unicast", "blackhole", "unreachable", "prohibit"] = "blackhole"
    via: str = ""
    interface: str = ""


@on_each_host
def make(lab: Lab, host: Host, spec: WrongRoute) -> AbstractContextManager[None]:
    """Add the route, in front of others."""
    route = [spec.action, each.address(lab, spec.destination)]
    route += ["via", each.address(lab, spec.via)] if spec.via else []
    route += ["dev", spec.interface] if spec.interface else []
    return added(host, route)


FAULT = Fault(spec=WrongRoute, make=make, leads_to=("route-missing",))
