"""Build the virtual hosts of recorded facts: a lab, whose hosts then get the recorded names, addresses and routes."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from commcheck.errors import LaunchError
from commcheck.lab.host import Host, Space
from commcheck.lab.lab import FORWARDING, Lab
from commcheck.lab.network import port
from commcheck.replay.hosts import Dress, Rebuilt

_FAILED_AT = re.compile(r"^Command failed -:(\d+)$", re.MULTILINE)


@contextmanager
def dressed(wanted: Rebuilt) -> Iterator[tuple[Lab, list[str]]]:
    """The lab, and what of the recorded hosts could not be made in it. Raises LaunchError where no lab can be built."""
    with Lab(wanted.topology) as lab:
        notes: list[str] = []
        for index, mtu in enumerate(wanted.mtus):
            _batch(lab.switch, [f"addr flush dev br{index}"], notes)
            ports = [
                f"link set {port(index, host.number)} mtu {mtu}" for host in lab if _on(wanted, index, host.number)
            ]
            _batch(lab.switch, ports, notes)
        for index, addresses in wanted.gateways.items():
            _batch(lab.switch, [f"addr add {a} dev br{index}{' nodad' if ':' in a else ''}" for a in addresses], notes)
        if wanted.gateways:
            for name in FORWARDING:
                lab.switch.sysctl(name, "1")
        for host, dress in zip(lab.hosts, wanted.dresses, strict=True):
            _dress(lab, host, dress, notes)
        lab.names = {d.hostname: w.own[0].partition("/")[0] for d in wanted.dresses for w in d.wires[:1] if w.own}
        yield lab, notes


def _on(wanted: Rebuilt, index: int, number: int) -> bool:
    return any(w.network == index for w in wanted.dresses[number].wires)


def _dress(lab: Lab, host: Host, dress: Dress, notes: list[str]) -> None:
    host.name = dress.name
    host.wires = dress.wires
    _batch(host, list(dress.commands), notes)
    host.inside(partial(socket.sethostname, dress.hostname[:64]), more=("uts",))
    host.path("/etc/hosts").write_text(dress.hosts_file, encoding="utf-8")
    if dress.port_range is not None:
        host.sysctl("net.ipv4.ip_local_port_range", "{} {}".format(*dress.port_range))
    _batch(lab.switch, [f"link set {port(index, host.number)} down" for index in dress.unplugged], notes)


def _batch(space: Space, lines: list[str], notes: list[str]) -> None:
    """Carry out `ip` commands; one that the kernel refuses does not stop the others, and is said."""
    if not lines:
        return
    try:
        space.command(["ip", "-force", "-batch", "-"], "\n".join(lines) + "\n")
    except LaunchError as error:
        failed = [lines[int(number) - 1] for number in _FAILED_AT.findall(str(error))]
        notes.extend(f"{space.name}: could not be rebuilt: ip {line}" for line in failed)
        if not failed:
            raise
