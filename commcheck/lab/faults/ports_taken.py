"""Programs hold ports without listening on them."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.services import ports_held
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class PortsTaken(HostFault, frozen=True, tag="ports-taken"):
    """A program of `hosts` has bound the TCP ports `first` to `last` (0: `first` alone) and does not listen."""

    first: int
    last: int = 0


@on_each_host
def make(_: Lab, host: Host, spec: PortsTaken) -> AbstractContextManager[None]:
    """Start it."""
    return ports_held(host, spec.first, spec.last or spec.first)


FAULT = Fault(spec=PortsTaken, make=make, leads_to=("port-in-use",))
