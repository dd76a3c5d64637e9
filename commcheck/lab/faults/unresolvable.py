"""A name does not resolve."""

from __future__ import annotations

from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import names
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.layers import file_edited
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Unresolvable(HostFault, frozen=True, tag="unresolvable"):
    """`hosts` cannot resolve `name`: it is not in their hosts file."""

    name: str


@on_each_host
def make(_: Lab, host: Host, spec: Unresolvable) -> AbstractContextManager[None]:
    """Take it out."""
    return file_edited(host, "/etc/hosts", lambda text: names.entry(text, spec.name, None))


FAULT = Fault(spec=Unresolvable, make=make, leads_to=("host-unresolvable",))
