"""Programs that hold a port: one that is silent, one that talks, and a PyTorch store that an old job left."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from commcheck.errors import LaunchError
from commcheck.lab.host import Host, end

READY = b"ready\n"
LISTENER_SECONDS = 5.0
"""The longest that a listener may take to listen."""
STORE_SECONDS = 60.0
"""The same for a store, whose process has to import torch first (on a busy machine)."""

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

HOLDER = """
import resource, socket, sys, threading
first, last = int(sys.argv[1]), int(sys.argv[2])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held, wanted = [], [(f, port) for port in range(first, last + 1) for f in (socket.AF_INET, socket.AF_INET6)]

def take():
    for family, port in list(wanted):
        one = socket.socket(family)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            one.bind(("", port))
        except OSError:  # in use, by the rest of an old connection perhaps: then it is taken, and ours next
            one.close()
            continue
        held.append(one)
        wanted.remove((family, port))

take()
sys.stdout.write("ready\\n")
sys.stdout.flush()
while wanted:
    threading.Event().wait(0.05)
    take()
threading.Event().wait()
"""

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


@contextmanager
def listener(host: Host, port: int, banner: str = "", address: str = "0.0.0.0") -> Iterator[int]:
    """A program of the host listens on the port and accepts; it says `banner`, or nothing. Gives its process id."""
    argv = [sys.executable, "-I", "-S", "-c", LISTENER, address, str(port), banner]
    with service(host, argv, LISTENER_SECONDS) as pid:
        yield pid


@contextmanager
def ports_held(host: Host, first: int, last: int) -> Iterator[None]:
    """A program of the host has bound the ports `first` to `last`, and does not listen."""
    with service(host, [sys.executable, "-I", "-S", "-c", HOLDER, str(first), str(last)]):
        yield


@contextmanager
def old_store(host: Host, port: int, world_size: int = 2) -> Iterator[int]:
    """A TCPStore that another job left listens on the port. Gives its process id."""
    with service(host, [sys.executable, "-c", STORE, str(port), str(world_size)], STORE_SECONDS) as pid:
        yield pid


@contextmanager
def service(host: Host, argv: Sequence[str], seconds: float = LISTENER_SECONDS) -> Iterator[int]:
    """A program of the host that says when it is ready, for which it has `seconds`. Gives its process id."""
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    program = host.popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with started(program, f"service on {host.name}", seconds):
        yield program.pid


@contextmanager
def started(program: "subprocess.Popen[bytes]", what: str, seconds: float = LISTENER_SECONDS) -> Iterator[None]:
    """Wait until `program` says that it is ready; leaving ends it."""
    try:
        stdout = program.stdout
        ready = stdout is not None and select.select([stdout], [], [], seconds)[0]
        if stdout is None or not ready or stdout.readline() != READY:
            program.kill()
            said = program.communicate()[1].decode(errors="replace").strip()
            raise LaunchError(f"no {what}: {said or f'it was not ready after {seconds:.0f} s'}")
        yield
    finally:
        end(program)
        if program.stdin is not None:
            program.stdin.close()
