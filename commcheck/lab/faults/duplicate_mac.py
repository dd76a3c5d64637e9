"""Two hosts have the same hardware address, as cloned virtual machines do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.each import host
from commcheck.lab.faults.layers import link
from commcheck.lab.faults.neighbours import forget
from commcheck.lab.lab import Lab
from commcheck.model.fault import FaultSpec


class DuplicateMac(FaultSpec, frozen=True, tag="duplicate-mac"):
    """`interface` of host `thief` has the hardware address of the one of host `victim`.

    The switch sends the frames for both to the one that has spoken last."""

    victim: int
    thief: int
    interface: str = "eth0"


@contextmanager
def make(lab: Lab, spec: DuplicateMac) -> Iterator[None]:
    """Change the address, and let all forget the old one."""
    victim, thief = host(lab, spec.victim), host(lab, spec.thief)
    switch, port = cable(thief, spec.interface)
    mac = victim.path(f"/sys/class/net/{spec.interface}/address").read_text(encoding="ascii").strip()
    try:
        with link(thief, spec.interface, "address", mac):
            forget(lab, thief)
            yield
    finally:
        forget(lab, thief)
        # The switch remembers which port an address was last seen on: not the thief's any more.
        switch.command(["ip", "link", "set", "dev", port, "type", "bridge_slave", "fdb_flush"])


FAULT = Fault(spec=DuplicateMac, make=make, leads_to=("port-dropped", "data-ports-dropped", "one-way-blocked"))
