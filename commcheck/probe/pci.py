"""PCI devices as /sys shows them: where they are, how fast they are linked, and whether a bridge redirects peer traffic."""

import os
import re
import struct

from commcheck.model.fabric import PciDevice
from commcheck.probe.text import read_text

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
_HOST_BRIDGE = re.compile(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}$")
_EXTENDED = 0x100  # where the extended capabilities begin (PCI Express specification, 7.6)
_ACS = 0x000D
_REDIRECTS = 0x01 | 0x04 | 0x08  # source validation, request redirect, completion redirect
_DISPLAY, _ACCELERATOR = "0x03", "0x12"  # base classes
_NVIDIA = "0x10de"


def device(directory: str) -> PciDevice | None:
    """The device whose directory this is, or a link to it; None where it is none."""
    parts = os.path.realpath(directory).split("/")
    if not _ADDRESS.fullmatch(parts[-1]):
        return None
    path = tuple(part for part in parts if _ADDRESS.fullmatch(part))
    return PciDevice(
        address=parts[-1],
        path=path,
        host_bridge=next((part for part in parts if _HOST_BRIDGE.fullmatch(part)), ""),
        numa=_numa(directory),
        speed=_speed(text(directory, "current_link_speed")),
        width=number(text(directory, "current_link_width")) or 0,
        most_speed=_speed(text(directory, "max_link_speed")),
        most_width=number(text(directory, "max_link_width")) or 0,
    )


def gpus(root: str) -> tuple[PciDevice, ...]:
    """NVIDIA's GPUs, by address. Raises OSError where the PCI devices cannot be listed."""
    base = os.path.join(root, "sys/bus/pci/devices")
    found = []
    for address in sorted(os.listdir(base)):
        directory = os.path.join(base, address)
        if text(directory, "vendor") == _NVIDIA and text(directory, "class")[:4] in (_DISPLAY, _ACCELERATOR):
            found.append(device(directory))
    return tuple(gpu for gpu in found if gpu is not None)


def redirecting(root: str, devices: tuple[PciDevice, ...]) -> tuple[str, ...] | None:
    """Of the bridges above these devices, those whose access control (ACS) is on. None where the configuration space
    could not be read beyond its first 64 bytes, as by an ordinary user."""
    bridges = dict.fromkeys(bridge for one in devices for bridge in one.path[:-1])
    found, unread = [], not bridges
    for bridge in bridges:
        try:
            with open(os.path.join(root, "sys/bus/pci/devices", bridge, "config"), "rb") as file:
                config = file.read(4096)
        except OSError:
            unread = True
            continue
        if len(config) <= _EXTENDED:
            unread = True
        elif access_control(config) & _REDIRECTS:
            found.append(bridge)
    return None if unread and not found else tuple(found)


def access_control(config: bytes) -> int:
    """The ACS control register in a configuration space; 0 where it has none."""
    at, steps = _EXTENDED, 0
    while (
        _EXTENDED <= at <= len(config) - 8 and steps < 48
    ):  # a capability has 8 bytes or more: a longer list is a loop
        (header,) = struct.unpack_from("<I", config, at)
        if header & 0xFFFF == _ACS:
            return int(struct.unpack_from("<H", config, at + 6)[0])
        at, steps = header >> 20, steps + 1
    return 0


def text(directory: str, name: str) -> str:
    """A file's text without blanks around it; "" where it cannot be read."""
    try:
        return read_text(os.path.join(directory, name)).strip()
    except (OSError, ValueError):
        return ""


def number(value: str) -> int | None:
    """A whole number, decimal or with 0x; None where it is none."""
    try:
        return int(value, 0)
    except ValueError:
        return None


def _numa(directory: str) -> int | None:
    """-1 is what the kernel writes where it does not know."""
    node = number(text(directory, "numa_node"))
    return node if node is not None and node >= 0 else None


def _speed(value: str) -> float:
    """`16.0 GT/s PCIe`; until Linux 5.6 `16 GT/s`."""
    head = value.partition(" ")[0]
    return float(head) if re.fullmatch(r"\d{1,4}(?:\.\d)?", head) else 0.0
