"""A name resolves to another address, as after a stale entry in a hosts file."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import each, names
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.layers import file_edited
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class ResolvesTo(HostFault, frozen=True, tag="resolves-to"):
    """For `hosts`, `name` is `address` ({h1} is the one of host 1, {h1.eth1} the one of its interface eth1)."""

    name: str
    address: str


@on_each_host
def make(lab: Lab, host: Host, spec: ResolvesTo) -> AbstractContextManager[None]:
    """Write it into the hosts file."""
    where = each.address(lab, spec.address)
    return file_edited(host, "/etc/hosts", lambda text: names.entry(text, spec.name, where))


FAULT = Fault(spec=ResolvesTo, make=make, leads_to=("host-resolves-differently", "host-resolves-to-loopback"))
