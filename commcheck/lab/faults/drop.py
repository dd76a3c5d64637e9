"""A firewall swallows new connections: the other side waits."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import addresses, on_each_host
from commcheck.lab.faults.firewall import barrier
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Drop(HostFault, frozen=True, tag="drop"):
    """New TCP connections that arrive at `hosts` meet silence.

    `ports`: which ones, as nft writes them ("29500", "!= 29500", "{ 1-100 }"; default all). `source`: only from these hosts.
    `loopback`: the hosts' connections to themselves too."""

    ports: str = ""
    source: tuple[int, ...] = ()
    loopback: bool = False


@on_each_host
def make(lab: Lab, host: Host, spec: Drop) -> AbstractContextManager[None]:
    """Load the rule."""
    return barrier(host, "drop", ports=spec.ports, sources=addresses(lab, spec.source), loopback=spec.loopback)


FAULT = Fault(spec=Drop, make=make, leads_to=("port-dropped", "data-ports-dropped", "one-way-blocked", "partition"))
