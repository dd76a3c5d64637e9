"""Another program listens on a port."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import services
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Listener(HostFault, frozen=True, tag="listener"):
    """A program of `hosts` listens on `port` at `address` and accepts; it says `banner` to each client, or nothing."""

    port: int
    banner: str = ""
    address: str = "0.0.0.0"


@on_each_host
def make(_: Lab, host: Host, spec: Listener) -> AbstractContextManager[int]:
    """Start it."""
    return services.listener(host, spec.port, spec.banner, spec.address)


FAULT = Fault(spec=Listener, make=make, leads_to=("port-in-use", "wrong-service-on-port"))
