"""Another program listens on a port."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from commcheck.lab.fault import Fault
from commcheck.lab.faults.each import on_each_host
from commcheck.lab.faults.services import service
from commcheck.lab.host import Host
from commcheck.lab.lab import Lab
from commcheck.model.fault import HostFault

LISTENER = """
import socket, sys
family, port, banner = (socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET), int(sys.argv[2]), sys.argv[3]
server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((sys.argv[1], port))
server.listen(64)
sys.stdout.write("ready\\n")
sys.stdout.flush()
kept = []
while True:
    connection, _ = server.accept()
    kept.append(connection)
    if banner:
        connection.sendall(banner.encode())
"""


class Listener(HostFault, frozen=True, tag="listener"):
    """A program of `hosts` listens on `port` at `address` and accepts; it says `banner` to each client, or nothing."""

    port: int
    banner: str = ""
    address: str = "0.0.0.0"


@on_each_host
def make(_: Lab, host: Host, spec: Listener) -> AbstractContextManager[None]:
    """Start it."""
    argv = [sys.executable, "-I", "-S", "-c", LISTENER, spec.address, str(spec.port), spec.banner]
    return service(host, argv)


FAULT = Fault(spec=Listener, make=make, leads_to=("port-in-use", "wrong-service-on-port"))
