"""A store that an old job left listens on a port."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.services import service
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault

SECONDS = 60.0
"""The longest that a store may take to listen: its process has to import torch first, on a busy machine perhaps."""

STORE = """
import sys, threading
from datetime import timedelta
from torch.distributed import TCPStore
store = TCPStore("localhost", int(sys.argv[1]), int(sys.argv[2]), True, timedelta(seconds=30), wait_for_workers=False)
store.set("init/", b"left over")
sys.stdout.write("ready\\n")
sys.stdout.flush()
threading.Event().wait()
"""


class OldStore(HostFault, frozen=True, tag="old-store"):
    """A TCPStore of PyTorch for `world_size` ranks, with a key in it, listens on `port` of `hosts`."""

    port: int
    world_size: int = 2


@on_each_host
def make(_: Lab, host: Host, spec: OldStore) -> AbstractContextManager[None]:
    """Start it."""
    return service(host, [sys.executable, "-c", STORE, str(spec.port), str(spec.world_size)], SECONDS)


FAULT = Fault(spec=OldStore, make=make, leads_to=("stale-store",))
