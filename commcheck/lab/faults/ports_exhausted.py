"""All ports for outgoing connections are in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.layers import sysctl
from commcheck.lab.faults.services import ports_held
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class PortsExhausted(HostFault, frozen=True, tag="ports-exhausted"):
    """`hosts` have the ports `first` to `last` for connections that they open, and another program has bound all of them."""

    first: int = 50000
    last: int = 50019


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: PortsExhausted) -> Iterator[None]:
    """Narrow the range, and hold it."""
    span = f"{spec.first} {spec.last}"
    with sysctl(host, "net.ipv4.ip_local_port_range", span), ports_held(host, spec.first, spec.last):
        yield


FAULT = Fault(spec=PortsExhausted, make=make, leads_to=("port-range-exhausted",))
