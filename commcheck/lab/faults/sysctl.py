"""A kernel setting of a host's network has another value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import layers
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.keeping import addresses_and_routes
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Sysctl(HostFault, frozen=True, tag="sysctl"):
    """The sysctl `name` (below "net.") of `hosts` is `value`."""

    name: str
    value: str


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: Sysctl) -> Iterator[None]:
    """Set it."""
    with ExitStack() as stack:
        if spec.name.endswith("disable_ipv6"):  # the kernel then forgets the addresses
            for shown in json.loads(host.ip("-j", "link")):
                stack.enter_context(addresses_and_routes(host, shown["ifname"]))
        stack.enter_context(layers.sysctl(host, spec.name, spec.value))
        yield


FAULT = Fault(spec=Sysctl, make=make, leads_to=())
