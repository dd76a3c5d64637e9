"""A firewall swallows new connections: the other side waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.firewall import blocked
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Drop(HostFault, frozen=True, tag="drop"):
    """New TCP connections that arrive at `hosts` meet silence.

    `ports`: which ones, as nft writes them ("29500", "!= 29500", "{ 1-100 }"; default all). `source`: only from these hosts.
    `loopback`: the hosts' connections to themselves too."""

    ports: str = ""
    source: tuple[int, ...] = ()
    loopback: bool = False


@contextmanager
def make(lab: Lab, spec: Drop) -> Iterator[None]:
    """Load the rule on each of the hosts."""
    source = ", ".join(lab[i].address for i in spec.source)
    with ExitStack() as stack:
        for number in spec.hosts:
            stack.enter_context(
                blocked(
                    lab[number],
                    "drop",
                    ports=spec.ports,
                    source=f"{{ {source} }}" if source else "",
                    loopback=spec.loopback,
                )
            )
        yield


FAULT = Fault(spec=Drop, make=make, leads_to=("port-dropped", "data-ports-dropped", "one-way-blocked", "partition"))
