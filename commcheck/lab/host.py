"""One virtual host: what runs in it, what is written there, and how to reach it."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from ctypes import CDLL, get_errno
from pathlib import Path
from typing import IO, TypeVar

from commcheck.errors import LaunchError
from commcheck.lab.network import Wire
from commcheck.model.plan import Place

T = TypeVar("T")

COMMAND_SECONDS = 10.0
"""The longest that one of our own short commands (ip, nft, tc) may take."""


class Space:
    """A network namespace that a process holds open: the switch's, or a host's."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid

    def command(self, argv: Sequence[str], text: str = "") -> str:
        """Run a short command of ours in this network (and only the network: files are the machine's).

        Raises LaunchError with the command's own words when it fails."""
        # nsenter rather than a thread with setns: the command must not depend on the threads of our caller.
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--net", "--", *argv],
            input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise LaunchError(f"{' '.join(argv)} in {self.name}: {done.stderr.strip()}")
        return done.stdout

    def ip(self, *arguments: str) -> str:
        """Run `ip` here."""
        return self.command(["ip", *arguments])

    def nft(self, text: str) -> None:
        """Load firewall rules here."""
        self.command(["nft", "-f", "-"], text)

    def inside(self, work: Callable[[], T], *, more: Sequence[str] = ()) -> T:
        """Call `work` in a thread that has entered this network, and `more` kinds of its namespaces ("uts"). Sockets that
        are made there stay in it."""
        outcome: list[T] = []
        failure: list[BaseException] = []

        def entered() -> None:
            try:
                for kind in ("net", *more):
                    handle = os.open(f"/proc/{self.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        if CDLL(None, use_errno=True).setns(handle, 0) != 0:
                            raise OSError(get_errno(), "setns")
                    finally:
                        os.close(handle)
                outcome.append(work())
            except BaseException as error:  # handed over to the caller's thread
                failure.append(error)

        thread = threading.Thread(target=entered, name=f"inside {self.name}")
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def sysctl(self, name: str, value: str | None = None) -> str:
        """Set a network sysctl where `value` is given; the value from before in any case."""
        path = Path("/proc/sys", *name.split("."))

        def access() -> str:
            before = path.read_text(encoding="ascii").strip()
            if value is not None:
                path.write_text(value, encoding="ascii")
            return before

        return self.inside(access)


class Host(Space):
    """A virtual host. Made by `Lab`; `number` counts from 0 and gives the name and the addresses. `wires`: its interfaces
    that lead to others, in the order of the topology's networks (those that it is not on are left out)."""

    def __init__(self, name: str, pid: int, number: int, wires: tuple[Wire, ...], switch: Space) -> None:
        super().__init__(name, pid)
        self.number = number
        self.wires = wires
        self.switch = switch
        self._programs: list[subprocess.Popen[bytes]] = []

    def __repr__(self) -> str:
        return f"Host({self.name!r}, {self.address}, pid {self.pid})"

    @property
    def address(self) -> str:
        """The host's address on its first network: IPv4 where it has one."""
        return self.wires[0].address(self.number)

    @property
    def address6(self) -> str:
        """The host's IPv6 address on its first network, or nothing."""
        return self.wires[0].address6(self.number)

    def address_on(self, interface: str) -> str:
        """The host's address on one of its interfaces: IPv4 where it has one. Raises LaunchError for an unknown one."""
        for wire in self.wires:
            if wire.name == interface:
                return wire.address(self.number)
        raise LaunchError(f"{self.name} has no {interface} (it has {', '.join(wire.name for wire in self.wires)})")

    def place(self) -> Place:
        """Where a rank is to run that shall live on this host.

        Enter the namespaces in the order net, uts, mnt; see `commcheck.lab.enter` for what the last one asks for."""
        return Place(host=self.name, pid=self.pid)

    def path(self, file: str) -> Path:
        """`file` (absolute) as this host sees it, for reading and writing from outside."""
        return Path(f"/proc/{self.pid}/root", file.lstrip("/"))

    def argv(self, argv: Sequence[str], directory: str = "/") -> list[str]:
        """The command that runs `argv` here, in `directory`, and dies with this process."""
        script = str(Path(__file__).with_name("enter.py"))
        return [sys.executable, "-I", "-S", script, str(os.getpid()), str(self.pid), directory, *argv]

    def run(
        self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, directory: str = "/"
    ) -> subprocess.CompletedProcess[str]:
        """Run a program here to its end. Its exit status is the caller's to judge."""
        return subprocess.run(
            self.argv(argv, directory), env=env, timeout=timeout, capture_output=True, text=True, check=False
        )

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        directory: str = "/",
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start a program here. It ends with the lab, and with the thread that started it (parent-death signal)."""
        program = subprocess.Popen(
            self.argv(argv, directory), env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        self._programs.append(program)
        return program

    def stop_programs(self) -> None:
        """End all that `popen` started here."""
        for program in self._programs:
            end(program)
        self._programs.clear()

    def socket(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """A TCP socket of this process that lives in the host's network."""
        return self.inside(lambda: socket.socket(family, socket.SOCK_STREAM))

    def connect(self, address: str, port: int, timeout: float) -> str:
        """Try to connect from here: "ok", "refused", "timed-out", or the error's name as errno has it."""
        with self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as attempt:
            attempt.settimeout(timeout)
            try:
                attempt.connect((address, port))
            except ConnectionRefusedError:
                return "refused"
            except TimeoutError:
                return "timed-out"
            except OSError as error:
                return error.strerror or str(error)
        return "ok"


def end(program: subprocess.Popen[bytes]) -> None:
    """Kill a program of ours and take its exit status and pipes away."""
    program.kill()
    program.wait()
    for stream in (program.stdout, program.stderr):
        if stream is not None:
            stream.close()
