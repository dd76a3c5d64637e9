"""The shared memory of a host is nearly full."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commcheck.errors import LaunchError
from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault

SHM = "/dev/shm"  # noqa: S108 - the mount is what is filled


class SmallShm(HostFault, frozen=True, tag="small-shm"):
    """In /dev/shm of `hosts` only `left` bytes are free. Needs a lab whose hosts have their own (`shm`)."""

    left: int = 0


@on_each_host
@contextmanager
def make(lab: Lab, host: Host, spec: SmallShm) -> Iterator[None]:
    """Fill it with a file."""
    folder = host.path(SHM)
    if folder.stat().st_dev == Path(SHM).stat().st_dev:
        raise LaunchError(f"{host.name} shares this machine's /dev/shm: give the lab a size for `shm`")
    room = os.statvfs(folder)
    size = room.f_bavail * room.f_frsize - spec.left
    with tempfile.NamedTemporaryFile(dir=folder, prefix="commcheck-") as file:
        if size > 0:
            os.posix_fallocate(file.fileno(), 0, size)
        yield


FAULT = Fault(spec=SmallShm, make=make, leads_to=("shm-too-small",))
