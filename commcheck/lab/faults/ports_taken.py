"""Programs hold ports without listening on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
@contextmanager
def make(_: Lab, host: Host, spec: PortsTaken) -> Iterator[None]:
    """Start it."""
    with ports_held(host, spec.first, spec.last or spec.first):
        yield


FAULT = Fault(spec=PortsTaken, make=make, leads_to=("port-in-use",))
