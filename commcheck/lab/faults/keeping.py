"""What the kernel forgets when an interface goes down or loses its addresses, put back afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from commcheck.lab.host import Space

Kept = tuple[list[str], dict[str, list[str]]]

_LOCK = Lock()
_KEPT: dict[tuple[int, str], tuple[Kept, int]] = {}
"""By namespace and device: what was there before the first fault, and how many faults there are now."""
LINK_LOCAL = "fe80:"
NO_ADDRESS = "1"  # of addr_gen_mode
_STATE = {"linkdown", "dead"}
"""Words in a route that say how its device is."""


@contextmanager
def addresses_and_routes(space: Space, device: str) -> Iterator[None]:
    """Whatever happens to `device` meanwhile: its addresses, and all routes of `space`, are as before afterwards.

    Leave this after the device is up again: the kernel takes no route through one that is down. Where several faults
    disturb the same device, the last one puts everything back."""
    key = (space.pid, device)
    with _LOCK:
        kept, users = _KEPT[key] if key in _KEPT else ((_addresses(space, device), _routes(space)), 0)
        _KEPT[key] = (kept, users + 1)
    try:
        yield
    finally:
        with _LOCK:
            kept, users = _KEPT.pop(key)
            if users > 1:
                _KEPT[key] = (kept, users - 1)
            else:
                _restore(space, device, kept)


def _restore(space: Space, device: str, kept: Kept) -> None:
    before, routes = kept
    there = _addresses(space, device)
    lost = [item for item in before if item not in there]
    if any(item.startswith(LINK_LOCAL) for item in lost):
        # Only the kernel can make the address that is the kernel's own: it does on this change.
        mode = f"net.ipv6.conf.{device}.addr_gen_mode"
        space.sysctl(mode, space.sysctl(mode, NO_ADDRESS))
    if any(not item.startswith(LINK_LOCAL) for item in lost):  # all of them, for their order
        for item in there:
            if not item.startswith(LINK_LOCAL):
                space.ip("addr", "del", item.split()[0], "dev", device)
        for item in before:
            if not item.startswith(LINK_LOCAL):
                space.ip("addr", "add", *item.split(), "dev", device)
    for family, lines in routes.items():
        now = _routes(space)[family]
        for line in lines:
            if line not in now:
                space.ip(family, "route", "add", *line.split())


def _addresses(space: Space, device: str) -> list[str]:
    return addresses(json.loads(space.ip("-j", "addr", "show", "dev", device))[0])


def addresses(shown: dict[str, Any]) -> list[str]:
    """The addresses of a device that `ip -j addr show` has shown, in order, as `ip addr add` takes them. Pure."""
    return [_address(info) for info in shown["addr_info"]]


def _address(info: dict[str, Any]) -> str:
    parts = [f"{info['local']}/{info['prefixlen']}"]
    parts += ["broadcast", info["broadcast"]] if "broadcast" in info else []
    parts += ["scope", info["scope"]]
    return " ".join([*parts, "nodad"] if info.get("nodad") else parts)


def _routes(space: Space) -> dict[str, list[str]]:
    """The routes of the main table by family. Those of the local table come and go with their addresses."""
    return {
        family: [
            " ".join(word for word in line.split() if word not in _STATE)
            for line in space.ip(family, "route", "show").splitlines()
        ]
        for family in ("-4", "-6")
    }
