"""A relay of our own on a host's cable: packets that come late, twice or in another order.

Not by tc netem, which many kernels lack: one mechanism that is the same everywhere can be trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Literal

from commcheck.lab.faults import relay
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.keeping import addresses, addresses_and_routes
from commcheck.lab.faults.layers import link
from commcheck.lab.faults.services import started
from commcheck.lab.host import Host, Space

Way = Literal["in", "out", "both"]
"""Which packets: those that arrive at the host, those that it sends, or both."""

_NUMBERS = count()
_TUN = "/dev/net/tun"
STRANGER = "02:00:00:00:00:fe"
"""A hardware address that nobody sends to."""


def missing(_: object) -> str:
    """Why no relay can be made here; empty when it can."""
    return "" if os.path.exists(_TUN) else f"there is no {_TUN}: this kernel has no TAP devices"


@contextmanager
def relayed(
    host: Host,
    interface: str,
    way: Way,
    *,
    delay: float = 0.0,
    jitter: float = 0.0,
    duplicate: float = 0.0,
    reorder: float = 0.0,
    hold: float = 0.0,
) -> Iterator[None]:
    """The host's cable goes through a relay; see `relay.Direction`."""
    bad = relay.Direction(delay, jitter, duplicate, reorder, hold)
    good = relay.Direction(0.0, 0.0, 0.0, 0.0, 0.0)
    switch, port = cable(host, interface)
    number = next(_NUMBERS)
    near, far, small = f"n{number}", f"{port}r{number}", f"s{number}"
    whole = not (duplicate or reorder)
    spec = {
        "near": near,
        "far": far,
        "whole": whole,
        "out": (bad if way != "in" else good)._asdict(),
        "in": (bad if way != "out" else good)._asdict(),
    }
    argv = [sys.executable, "-I", "-S", str(Path(relay.__file__)), json.dumps(spec)]
    command = ["nsenter", "--target", str(switch.pid), "--net", "--", *argv]
    with ExitStack() as stack:
        program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={}
        )
        stack.enter_context(started(program, f"relay of {host.name}"))
        stack.enter_context(_spliced(switch, port, near, far, small))
        if not whole:
            stack.enter_context(link(host, interface, "gso_max_segs", "1"))
        yield


@contextmanager
def _spliced(switch: Space, port: str, near: str, far: str, small: str) -> Iterator[None]:
    """`port` leads to `near`, in a small bridge of their own, and `far` is where `port` was."""
    own = json.loads(switch.ip("-j", "addr", "show", "dev", port))[0]
    master, mac, mtu = own.get("master"), own["address"], own["mtu"]
    _batch(
        switch,
        f"link add name {small} type bridge forward_delay 0 mcast_snooping 0",
        *(f"link set dev {device} mtu {mtu} addrgenmode none" for device in (small, near, far)),
    )
    # The small bridge is no part of any network: it must answer for none of the switch's addresses.
    switch.sysctl(f"net.ipv4.conf.{small}.arp_ignore", "8")
    with addresses_and_routes(switch, port):
        if not master:  # a port of a router: the far end becomes that port, and the port itself a plain cable
            _batch(switch, f"addr flush dev {port}", f"link set dev {port} address {STRANGER}")
            _batch(switch, f"link set dev {far} address {mac}", *(f"addr add {a} dev {far}" for a in addresses(own)))
        _batch(
            switch,
            f"link set dev {port} master {small}",
            f"link set dev {near} master {small} up",
            f"link set dev {small} up",
            f"link set dev {far} {f'master {master}' if master else ''} up",
        )
        try:
            yield
        finally:
            # The far end leaves first, so that the port gets the number back that it had in the bridge.
            _batch(switch, f"link set dev {far} nomaster down", f"link del dev {small}")
            _batch(switch, f"link set dev {port} {f'master {master}' if master else f'address {mac}'}")


def _batch(space: Space, *lines: str) -> None:
    space.command(["ip", "-batch", "-"], "\n".join(lines) + "\n")
