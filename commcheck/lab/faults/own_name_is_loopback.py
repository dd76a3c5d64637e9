"""A host's own name resolves to 127.0.1.1, as Debian's installer writes it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import names
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.layers import file_edited
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class OwnNameIsLoopback(HostFault, frozen=True, tag="own-name-is-loopback"):
    """The own names of `hosts` resolve to 127.0.1.1 there, and to their addresses elsewhere."""


@on_each_host
def make(_: Lab, host: Host, __: OwnNameIsLoopback) -> AbstractContextManager[None]:
    """Write it into the hosts file."""
    return file_edited(host, "/etc/hosts", lambda text: names.entry(text, host.name, "127.0.1.1"))


FAULT = Fault(spec=OwnNameIsLoopback, make=make, leads_to=("host-resolves-to-loopback",))
