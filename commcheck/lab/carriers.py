"""Wait until the cables of a lab carry frames: the kernel switches a link on some time after it was set up."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import time
from collections.abc import Iterable

from commcheck.errors import LaunchError

CARRIER_SECONDS = 10.0
"""The longest that this may take, on a machine that is busy with something else."""
SIOCGIFFLAGS = 0x8913
IFF_RUNNING = 0x40
RTMGRP_LINK = 1
IFREQ = "16sH22x"


def wait_for_carriers(where: str, links: Iterable[str]) -> None:
    """Wait until all `links` of the network that this thread is in carry frames, as the kernel tells of each change.

    A frame that is sent before is lost, and what is then sent again comes a second late. Raises LaunchError."""
    end = time.monotonic() + CARRIER_SECONDS
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as changes:
        changes.bind((0, RTMGRP_LINK))
        while late := without_carrier(links):
            if not select.select([changes], [], [], max(0.0, end - time.monotonic()))[0]:
                raise LaunchError(f"{', '.join(late)} of {where} did not come up in {CARRIER_SECONDS:.0f} s")
            changes.recv(1 << 16)


def without_carrier(links: Iterable[str]) -> list[str]:
    """Those of the links that carry nothing, or are not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return [link for link in links if not _running(any_socket, link)]


def _running(any_socket: socket.socket, link: str) -> bool:
    try:
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack(IFREQ, link.encode(), 0))
    except OSError:
        return False
    return bool(struct.unpack(IFREQ, answer)[1] & IFF_RUNNING)
