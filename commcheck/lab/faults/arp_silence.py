"""A host does not answer when its neighbours ask for its hardware address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.firewall import chain
from commcheck.lab.faults.neighbours import forget
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class ArpSilence(HostFault, frozen=True, tag="arp-silence"):
    """`hosts` answer no ARP request and no neighbour solicitation: nobody on their network can begin to talk to them.

    They themselves still can begin, and who hears them then knows their address."""


@on_each_host
@contextmanager
def make(lab: Lab, host: Host, __: ArpSilence) -> Iterator[None]:
    """Load the rules, and let all forget what they know."""
    asked = ["icmpv6 type nd-neighbor-solicit counter drop"]
    with chain(host, ["arp operation request counter drop"], family="arp"), chain(host, asked):
        forget(lab, host)
        yield
    forget(lab, host)


FAULT = Fault(spec=ArpSilence, make=make, leads_to=("neighbour-silent",))
