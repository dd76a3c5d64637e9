"""A firewall lets only so many packets through per second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults import firewall
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class RateLimit(HostFault, frozen=True, tag="rate-limit"):
    """TCP packets that arrive at `hosts` beyond `rate` a second are lost, after a first `burst`.

    `ports`: only those to these ports, as nft writes them. `new`: only those that open a connection, as with a guard against
    floods. A packet is what the kernel hands on: up to 64 KiB between virtual hosts."""

    rate: int
    burst: int = 5
    ports: str = ""
    new: bool = False


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: RateLimit) -> Iterator[None]:
    """Load the rule."""
    limit = f"limit rate over {spec.rate}/second burst {spec.burst} packets counter drop"
    lines = firewall.matching(ports=spec.ports, new=spec.new)
    with firewall.chain(host, [f"{line} {limit}" for line in lines]):
        yield


FAULT = Fault(spec=RateLimit, make=make, leads_to=("link-lossy", "link-slow"))
