"""A firewall refuses new connections, as if nobody listened."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import addresses, on_each_host
from commcheck.lab.faults.firewall import barrier
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Reject(HostFault, frozen=True, tag="reject"):
    """New TCP connections that arrive at `hosts` are answered by a reset, or with `icmp` by the message "administratively
    prohibited", as firewalld does, of which programs are told "No route to host".

    `ports`: which ones, as nft writes them ("29500", "!= 29500", "{ 1-100 }"; default all). `source`: only from these hosts.
    `loopback`: the hosts' connections to themselves too."""

    ports: str = ""
    source: tuple[int, ...] = ()
    loopback: bool = False
    icmp: bool = False


@on_each_host
def make(lab: Lab, host: Host, spec: Reject) -> AbstractContextManager[None]:
    """Load the rule."""
    action = "prohibit" if spec.icmp else "reject"
    return barrier(host, action, ports=spec.ports, sources=addresses(lab, spec.source), loopback=spec.loopback)


FAULT = Fault(spec=Reject, make=make, leads_to=("port-refused", "data-ports-refused"))
