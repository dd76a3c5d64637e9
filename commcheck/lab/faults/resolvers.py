"""A host that asks a name server of ours instead of its hosts file."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from commcheck.lab.faults import dns
from commcheck.lab.faults.layers import file_edited
from commcheck.lab.faults.names import NO_NAMES
from commcheck.lab.faults.services import service
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab

LONGEST = 30
"""Seconds: the C library waits for no answer longer than this, whatever resolv.conf says."""


@dataclass(frozen=True, kw_only=True)
class Zone:
    """What the server knows, and after how many seconds it says so. A name without address does not exist."""

    names: Mapping[str, tuple[str, ...]]
    forward: float = 0.0
    reverse: float = 0.0
    at: str = "127.0.0.1"


def zone_of(lab: Lab) -> dict[str, tuple[str, ...]]:
    """The truth: every host's name and its addresses on the first network, as the hosts files have them."""
    return {host.name: tuple(dict.fromkeys(a for a in (host.address, host.address6) if a)) for host in lab}


@contextmanager
def served(host: Host, zone: Zone, *, hosts_files: bool) -> Iterator[None]:
    """A name server with `zone` runs on the host, which asks it."""
    patience = min(LONGEST, math.ceil(max(zone.forward, zone.reverse)) + 5)
    text = f"nameserver {zone.at}\noptions timeout:{patience} attempts:1\n"
    with ExitStack() as stack:
        stack.enter_context(
            service(host, [sys.executable, "-I", "-S", str(Path(dns.__file__)), json.dumps(asdict(zone))])
        )
        stack.enter_context(file_edited(host, "/etc/resolv.conf", lambda _: text))
        if not hosts_files:
            stack.enter_context(file_edited(host, "/etc/hosts", lambda _: NO_NAMES))
        yield
