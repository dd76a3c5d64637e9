"""Two hosts have the same address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.addresses import duplicated
from commcheck.lab.faults.each import host
from commcheck.lab.lab import Lab
from commcheck.model.fault import FaultSpec


class DuplicateAddress(FaultSpec, frozen=True, tag="duplicate-address"):
    """Host `thief` has the address of host `victim` as well as its own; the `believers` reach the thief by it.

    On a real network the last ARP answer decides who is believed."""

    victim: int
    thief: int
    believers: tuple[int, ...] = ()


@contextmanager
def make(lab: Lab, spec: DuplicateAddress) -> Iterator[None]:
    """Add the address, and tell the believers."""
    with duplicated(host(lab, spec.victim), host(lab, spec.thief), [host(lab, n) for n in spec.believers]):
        yield


FAULT = Fault(spec=DuplicateAddress, make=make, leads_to=("duplicate-address",))
