"""A firewall swallows the network's error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.firewall import chain
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class IcmpFiltered(HostFault, frozen=True, tag="icmp-filtered"):
    """ICMP errors that arrive at `hosts` are lost: "unreachable", "time exceeded", and "too big", by which path MTU
    discovery works."""


@on_each_host
@contextmanager
def make(_: Lab, host: Host, __: IcmpFiltered) -> Iterator[None]:
    """Load the rule."""
    types = "{ destination-unreachable, time-exceeded, parameter-problem }"
    types6 = "{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
    with chain(host, [f"icmp type {types} counter drop", f"icmpv6 type {types6} counter drop"]):
        yield


FAULT = Fault(spec=IcmpFiltered, make=make, leads_to=("mtu-mismatch",))
