"""A tunnel behind the router carries only smaller packets, as the hosts cannot know by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.firewall import chain
from commcheck.lab.faults.neighbours import forget_paths
from commcheck.lab.faults.routes import added
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class PathMtu(HostFault, frozen=True, tag="path-mtu"):
    """In a routed network, packets to `hosts` above `mtu` bytes do not pass the router.

    `icmp`: the router tells the sender, who then sends smaller ones and is fine; otherwise the large ones vanish."""

    mtu: int = 1400
    icmp: bool = False
    interface: str = "eth0"


@on_each_host
@contextmanager
def make(lab: Lab, host: Host, spec: PathMtu) -> Iterator[None]:
    """Give the router's route to the host that MTU."""
    wire = next(wire for wire in host.wires if wire.name == spec.interface)
    router, port = cable(host, spec.interface)
    found = (wire.address(host.number), wire.address6(host.number))
    with ExitStack() as stack:
        for address in dict.fromkeys(filter(None, found)):
            stack.enter_context(added(router, [address, "dev", port, "mtu", str(spec.mtu)]))
        if not spec.icmp:
            silent = ["icmp type destination-unreachable counter drop", "icmpv6 type packet-too-big counter drop"]
            stack.enter_context(chain(router, silent, hook="filter hook output"))
        try:
            yield
        finally:
            forget_paths(lab)


FAULT = Fault(spec=PathMtu, make=make, leads_to=("mtu-mismatch",))
