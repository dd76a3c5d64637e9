"""Programs that kinds start on a host, and one that holds ports."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from commcheck.errors import LaunchError
from commcheck.lab.host import Host, end

READY = b"ready\n"
START_SECONDS = 5.0
"""The longest that a small program may take to be ready."""

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


def ports_held(host: Host, first: int, last: int) -> AbstractContextManager[None]:
    """A program of the host has bound the ports `first` to `last`, and does not listen."""
    return service(host, [sys.executable, "-I", "-S", "-c", HOLDER, str(first), str(last)])


@contextmanager
def service(host: Host, argv: Sequence[str], seconds: float = START_SECONDS) -> Iterator[None]:
    """A program of the host that says when it is ready, for which it has `seconds`."""
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    program = host.popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with started(program, f"service on {host.name}", seconds):
        yield


@contextmanager
def started(program: "subprocess.Popen[bytes]", what: str, seconds: float = START_SECONDS) -> Iterator[None]:
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
