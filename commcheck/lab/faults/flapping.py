"""A cable has a loose contact: the link comes and goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.cables import cable
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.keeping import addresses_and_routes
from commcheck.lab.faults.layers import admin_down
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault


class Flapping(HostFault, frozen=True, tag="flapping"):
    """The cable in `interface` of `hosts` is out for `down` seconds and in for `up`, again and again, `times` (0: until the
    fault ends). It begins with out."""

    down: float = 0.5
    up: float = 0.5
    times: int = 0
    interface: str = "eth0"


@on_each_host
@contextmanager
def make(_: Lab, host: Host, spec: Flapping) -> Iterator[None]:
    """Pull and plug from a thread."""
    space, port = cable(host, spec.interface)
    begun, ended = threading.Event(), threading.Event()
    done = 0

    def flap() -> None:
        nonlocal done
        while not ended.is_set() and (not spec.times or done < spec.times):
            with admin_down(space, port):
                begun.set()
                ended.wait(spec.down)
            done += 1
            ended.wait(spec.up)

    with addresses_and_routes(host, spec.interface), addresses_and_routes(space, port):
        thread = threading.Thread(target=flap, name=f"flapping {host.name}", daemon=True)
        thread.start()
        begun.wait()
        try:
            yield
        finally:
            ended.set()
            thread.join()


FAULT = Fault(spec=Flapping, make=make, leads_to=("link-flapping",))
