"""Two hosts have the same address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
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
    address, thief = host(lab, spec.victim).address, host(lab, spec.thief)
    believers = [host(lab, number) for number in spec.believers]
    mac = thief.path("/sys/class/net/eth0/address").read_text(encoding="ascii").strip()
    thief.ip("addr", "add", f"{address}/32", "dev", "eth0")
    for one in believers:
        # "stale": the kernel verifies such an entry, so the thief really has to answer for the address.
        one.ip("neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "stale")
    try:
        yield
    finally:
        thief.ip("addr", "del", f"{address}/32", "dev", "eth0")
        for one in believers:
            one.ip("neigh", "flush", "to", address)


FAULT = Fault(spec=DuplicateAddress, make=make, leads_to=("duplicate-address",))
