"""A firewall forgets connections: after some packets, nothing more arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import firewall
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class DropAfter(HostFault, frozen=True, tag="drop-after"):
    """Of each TCP connection only the first `packets` arrive at `hosts`, counted from when the fault begins.

    `ports`: only connections with one of these ports at either end, as nft writes them ("!= 29500"; default all)."""

    packets: int = 10
    ports: str = ""


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: DropAfter) -> Iterator[None]:
    """Load the rule."""
    ends = [f"tcp dport {spec.ports}", f"tcp sport {spec.ports}"] if spec.ports else ["meta l4proto tcp"]
    if spec.ports.startswith("!="):  # "other than these" has to hold for both ends
        ends = [" ".join(ends)]
    with firewall.counted(host, ends, spec.packets):
        yield


FAULT = Fault(spec=DropAfter, make=make, leads_to=("link-flapping", "data-ports-dropped"))
