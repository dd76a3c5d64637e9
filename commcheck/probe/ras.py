"""A small client of NCCL's RAS: asks a job's processes on this host what they know of the job, as `ncclras` does.

Source: github.com/NVIDIA/nccl, src/ras/client.cc and client_support.cc. The protocol is text over TCP: a greeting, commands
that are answered by a line ("SET FORMAT json" from 2.28.7 on; older ones call it unknown), and STATUS, whose answer ends
with the connection. Nothing is changed by it. All processes of a host may listen on one port (SO_REUSEPORT), and the kernel
chooses one of them for a connection, a stopped one as well as any: so a few are tried at once, and the first that greets is
asked.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable

from commcheck.model.base import Value
from commcheck.model.case import Socket

ADDRESS = "localhost:28028"
"""Where RAS listens unless NCCL_RAS_ADDR says otherwise."""
VARIABLE = "NCCL_RAS_ADDR"
GREETING = 1.0
"""Seconds for a greeting, as ncclras has it: RAS's own thread gives it at once."""
AT_ONCE = 8
"""Connections that are tried at the same time: of a host's processes one may be stopped."""
ANSWER = 7.0
"""Seconds for an answer. With a process that is silent the first one takes 5.0 (measured with 2.29.7, whatever TIMEOUT is
set to, since the connection must first be seen to be late); further ones take milliseconds."""
WAIT = 2
"""What RAS is told to wait for others, in seconds."""
_LARGEST = 64 << 20  # a job of ten thousand ranks has some MB of JSON
_GREET = b"CLIENT PROTOCOL 2\n"


class Door(Value, frozen=True):
    """Where processes of a job listen for such a question, and how many seconds their answer may take."""

    host: str
    port: int
    patience: float = ANSWER


class Reply(Value, frozen=True):
    """What came back. `text` is JSON where it begins with a brace; `failed` says why there is none."""

    text: str = ""
    failed: str = ""


def port_of(setting: str | None) -> int | None:
    """The port of NCCL_RAS_ADDR, which is `host:port` or `[ipv6]:port`; None where it is neither: RAS does not listen then."""
    host, _, port = (ADDRESS if setting is None else setting).rpartition(":")
    number = int(port) if port.isdecimal() and port.isascii() and len(port) <= 5 else 0
    return number if host and 0 < number < 1 << 16 else None


def door(setting: str | None, sockets: Iterable[Socket]) -> Door | None:
    """Where a process with this NCCL_RAS_ADDR listens for questions, as the kernel's table of its sockets shows it: nobody
    else is ever asked. None: it does not, as before 2.24, with NCCL_RAS_ENABLE=0, and before its first communicator."""
    port = port_of(setting)
    for row in sockets:
        if row.protocol == "tcp" and row.state == "LISTEN" and row.local_port == port:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(row.local_address, row.local_address)
            return Door(host=host, port=row.local_port)
    return None


def ask(at: Door) -> Reply:
    """One answer. Never raises, and takes no longer than GREETING and the door's patience together."""
    try:
        connection, failed = _greeted(at.host, at.port)
        if connection is None:
            return Reply(failed=failed)
        with connection:
            return _asked(connection, at.patience)
    except OSError as error:
        return Reply(failed=f"NCCL's RAS at {at.host}:{at.port}: {error.strerror or error}")


def _greeted(host: str, port: int) -> tuple[socket.socket | None, str]:
    """The first of some connections on which a process greets; the others are closed."""
    deadline = time.monotonic() + GREETING
    tried: list[socket.socket] = []
    chosen: socket.socket | None = None
    failed = f"NCCL's RAS at {host}:{port}: no greeting within {GREETING:g} s from the processes that listen there"
    try:
        for _ in range(AT_ONCE):
            one = socket.create_connection((host, port), timeout=max(0.05, deadline - time.monotonic()))
            tried.append(one)
            one.sendall(_GREET)
        waiting = list(tried)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for one in select.select(waiting, [], [], left)[0]:
                waiting.remove(one)
                if _line(one, deadline).upper().startswith(b"SERVER PROTOCOL "):
                    chosen = one
                    return chosen, ""
                failed = f"what listens on {host}:{port} does not greet as NCCL's RAS does"
        return None, failed
    finally:
        for one in tried:
            if one is not chosen:
                one.close()


def _asked(connection: socket.socket, patience: float) -> Reply:
    deadline = time.monotonic() + patience
    for command in (f"TIMEOUT {WAIT}", "SET FORMAT json"):
        connection.sendall(f"{command}\n".encode())
        verbose = b"" if _line(connection, deadline).upper() == b"OK\n" else b"VERBOSE "
    connection.sendall(verbose + b"STATUS\n")
    parts: list[bytes] = []
    size = 0
    while (left := deadline - time.monotonic()) > 0 and size < _LARGEST:
        connection.settimeout(left)
        try:
            part = connection.recv(1 << 16)
        except TimeoutError:
            break
        if not part:
            return Reply(text=b"".join(parts).decode(errors="replace"))
        parts.append(part)
        size += len(part)
    return Reply(failed=f"NCCL's RAS did not finish its answer within {patience:g} s")


def _line(connection: socket.socket, deadline: float) -> bytes:
    """A line; what there is of it, where the other end closes or is too slow."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 1024 and (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            part = connection.recv(1)
        except TimeoutError:
            break
        if not part:
            break
        line += part
    return line
