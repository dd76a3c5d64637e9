"""A host is served last: where the others send much, its packets are those that a switch drops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

from commcheck.errors import LaunchError
from commcheck.lab.fault import Fault
from commcheck.lab.faults import each
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.layers import link
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault

_TABLES = count(1)


class CrowdedOut(HostFault, frozen=True, tag="crowded-out"):
    """While the other hosts send more than `over` megabytes a second between them, `percent` of the packets that `hosts` send
    are lost. By themselves they are as fast as any."""

    over: int = 100
    percent: float = 50.0
    interface: str = "eth0"


@contextmanager
def make(lab: Lab, spec: CrowdedOut) -> Iterator[None]:
    """Let the switch count what comes out of all other cables, and drop from those of `hosts` while that is too much."""
    if not spec.hosts:
        raise LaunchError("the fault crowded-out names no host")
    for number in spec.hosts:
        each.host(lab, number)
    name = f"commcheck_crowd{next(_TABLES)}"
    rare = f"numgen random mod 10000 < {round(spec.percent * 100)}"
    text = [f"table netdev {name} {{", f" limit busy {{ rate over {spec.over} mbytes/second burst 100 kbytes; }}"]
    with ExitStack() as stack:
        for host in lab:
            _, port = cable(host, spec.interface)
            # Large segments are cut first: what is left of the limit is to be too little for anybody's packet alike.
            stack.enter_context(link(host, spec.interface, "gso_max_segs", "1"))
            rule = f'limit name "busy" {rare} counter drop' if host.number in spec.hosts else 'limit name "busy" accept'
            hook = f'type filter hook ingress device "{port}" priority 0'
            text.append(f" chain of{host.number} {{ {hook}; {rule}; }}")
        lab.switch.nft("\n".join((*text, "}\n")))
        try:
            yield
        finally:
            lab.switch.nft(f"delete table netdev {name}\n")


FAULT = Fault(spec=CrowdedOut, make=make, leads_to=("link-slow",))
