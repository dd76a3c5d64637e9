"""Which cable goes into an interface."""

from __future__ import annotations

import json
from typing import Any

from commcheck.errors import LaunchError
from commcheck.lab.host import Host, Space


def cable(host: Host, interface: str) -> tuple[Space, str]:
    """The other end of the cable in `interface`: the switch and the name of its port.

    Raises LaunchError where the interface is none that a cable goes into."""
    own = _link(host, interface)
    for port in json.loads(host.switch.ip("-j", "link")):
        if port["ifindex"] == own.get("link_index") and port.get("link_index") == own["ifindex"]:
            return host.switch, str(port["ifname"])
    raise LaunchError(f"no cable goes into {interface} of {host.name}")


def _link(host: Host, interface: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.ip("-j", "link", "show", "dev", interface))[0]
    return found
