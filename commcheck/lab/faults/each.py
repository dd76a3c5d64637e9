"""What most kinds share: made on each of some hosts, and addresses that are written by host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from commcheck.errors import LaunchError
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault

S = TypeVar("S", bound=HostFault)

BY_HOST = re.compile(r"\{h(\d+)(?:\.([A-Za-z0-9_.-]+))?\}")
"""{h1}, {h1.eth1}: the host's number and, where it is given, the interface."""


def on_each_host(
    one: Callable[[Lab, Host, S], AbstractContextManager[object]],
) -> Callable[[Lab, S], AbstractContextManager[None]]:
    """The `make` of a fault that is made on each of `spec.hosts` by itself."""

    @contextmanager
    def make(lab: Lab, spec: S) -> Iterator[None]:
        if not spec.hosts:  # a fault that is made nowhere would pass for a healthy world
            raise LaunchError(f"the fault {spec.__struct_config__.tag} names no host")
        with ExitStack() as stack:
            for number in spec.hosts:
                stack.enter_context(one(lab, host(lab, number), spec))
            yield

    return make


def host(lab: Lab, number: int) -> Host:
    """Host `number`. Raises LaunchError where there is none."""
    if not 0 <= number < len(lab):
        raise LaunchError(f"there is no host {number}: the lab has {len(lab)}, numbered from 0")
    return lab[number]


def address(lab: Lab, text: str) -> str:
    """`text` with {h1} replaced by the address of host 1, and {h1.eth1} by the one of its interface eth1."""

    def found(match: re.Match[str]) -> str:
        one = host(lab, int(match[1]))
        return one.address_on(match[2]) if match[2] else one.address

    return BY_HOST.sub(found, text)


def addresses(lab: Lab, numbers: tuple[int, ...]) -> list[str]:
    """All addresses of these hosts."""
    found: list[str] = []
    for one in (host(lab, number) for number in numbers):
        for wire in one.wires:
            found += [text for text in (wire.address(one.number), wire.address6(one.number)) if text]
    return list(dict.fromkeys(found))
