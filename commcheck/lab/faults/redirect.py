"""Connections end somewhere else than their address says, as with a transparent proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import address, on_each_host
from commcheck.lab.faults.firewall import chain
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Redirect(HostFault, frozen=True, tag="redirect"):
    """Connections that `hosts` open to `address` and `port` end at `to` and `to_port`.

    Addresses are IPv4; {h1} is the one of host 1, {h1.eth1} the one of its interface eth1."""

    address: str
    port: int
    to: str
    to_port: int


@on_each_host
@contextmanager
def make(lab: Lab, host: Host, spec: Redirect) -> Iterator[None]:
    """Load the rule."""
    met = f"ip daddr {address(lab, spec.address)} tcp dport {spec.port}"
    with chain(host, [f"{met} dnat to {address(lab, spec.to)}:{spec.to_port}"], family="ip", hook="nat hook output"):
        yield


FAULT = Fault(spec=Redirect, make=make, leads_to=("wrong-service-on-port",))
