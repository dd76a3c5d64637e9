"""Packets pass between two hosts in one direction only."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import addresses, on_each_host
from commcheck.lab.faults.firewall import barrier
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class OneWay(HostFault, frozen=True, tag="one-way"):
    """No TCP packet of host `peer` arrives at `hosts`, while theirs arrive at the peer. Answers are swallowed as well.

    `action`: "drop" (silence) or "reject" (a reset)."""

    peer: int
    action: Literal["drop", "reject"] = "drop"


@on_each_host
def make(lab: Lab, host: Host, spec: OneWay) -> AbstractContextManager[None]:
    """Load the rule."""
    return barrier(host, spec.action, sources=addresses(lab, (spec.peer,)), new=False)


FAULT = Fault(spec=OneWay, make=make, leads_to=("one-way-blocked",))
