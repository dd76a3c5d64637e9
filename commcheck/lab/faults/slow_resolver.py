"""A name server that is right, and slow."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.resolvers import Zone, served, zone_of
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class SlowResolver(HostFault, frozen=True, tag="slow-resolver"):
    """Each look-up of `hosts` takes `seconds` (at most 25), and then gets the right answer.

    `lookups`: names ("forward"), addresses ("reverse"), or "both". `hosts_files`: they still name all hosts, in the usual
    form, which does not answer for IPv4-mapped addresses."""

    seconds: float = 2.0
    lookups: Literal["forward", "reverse", "both"] = "both"
    hosts_files: bool = False


@on_each_host
def make(lab: Lab, host: Host, spec: SlowResolver) -> AbstractContextManager[None]:
    """Start a name server on the host."""
    forward = 0.0 if spec.lookups == "reverse" else spec.seconds
    reverse = 0.0 if spec.lookups == "forward" else spec.seconds
    zone = Zone(names=zone_of(lab), forward=forward, reverse=reverse)
    return served(host, zone, hosts_files=spec.hosts_files)


FAULT = Fault(spec=SlowResolver, make=make, leads_to=("reverse-dns-slow",))
