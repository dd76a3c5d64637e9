"""The hosts fall into groups, and nothing passes between the groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from commcheck.errors import LaunchError
from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import addresses, host
from commcheck.lab.faults.firewall import barrier
from commcheck.lab.lab import Lab
from commcheck.model.fault import FaultSpec


class Partition(FaultSpec, frozen=True, tag="partition"):
    """Hosts of one of `groups` do not reach those of another: [[0, 1], [2, 3]].

    `ports`: only new TCP connections to these, as nft writes them ("!= 29500"); by default every TCP packet, of
    connections that are established too. `action`: "drop" (silence) or "reject" (a reset). `one_way`: only what comes
    from an earlier group is lost, in the groups after it."""

    groups: tuple[tuple[int, ...], ...]
    ports: str = ""
    action: Literal["drop", "reject"] = "drop"
    one_way: bool = False


@contextmanager
def make(lab: Lab, spec: Partition) -> Iterator[None]:
    """Load a rule on each of the hosts."""
    members = [number for group in spec.groups for number in group]
    if len(spec.groups) < 2 or len(set(members)) < len(members):
        raise LaunchError("a partition needs two groups or more, and each host in one of them")
    with ExitStack() as stack:
        for place, group in enumerate(spec.groups):
            others = spec.groups[:place] if spec.one_way else spec.groups[:place] + spec.groups[place + 1 :]
            far = tuple(number for other in others for number in other)
            for number in group if far else ():
                stack.enter_context(
                    barrier(
                        host(lab, number),
                        spec.action,
                        ports=spec.ports,
                        sources=addresses(lab, far),
                        new=bool(spec.ports),
                    )
                )
        yield


FAULT = Fault(spec=Partition, make=make, leads_to=("partition", "one-way-blocked", "rank-missing"))
