"""A store that an old job left listens on a port."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import services
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class OldStore(HostFault, frozen=True, tag="old-store"):
    """A TCPStore of PyTorch for `world_size` ranks, with a key in it, listens on `port` of `hosts`."""

    port: int
    world_size: int = 2


@on_each_host
def make(_: Lab, host: Host, spec: OldStore) -> AbstractContextManager[int]:
    """Start it."""
    return services.old_store(host, spec.port, spec.world_size)


FAULT = Fault(spec=OldStore, make=make, leads_to=("stale-store",))
