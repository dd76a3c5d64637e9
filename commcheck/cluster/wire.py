"""What two hosts say over a connection, byte by byte: small messages, bursts of them, large pieces, and streams that are
timed by who receives. The same functions serve both ends."""

from __future__ import annotations

import select
import socket
import struct
import time
import zlib
from functools import cache
from random import Random

from commcheck.cluster.values import Flow
from commcheck.probe.tcpinfo import counted

MARK = 16
"""Bytes by which a host knows who belongs to its run."""
GREETING = struct.Struct(f"!{MARK}sI")
"""A host's mark, and its rank: of the one who is meant, or who answers."""
ORDER = struct.Struct("!BI")
"""What is to follow, and how much of it."""
LARGE, PING, BURST_IN, BURST_OUT, STREAM_IN, STREAM_OUT = range(1, 7)
"""Orders, as the one who is asked sees them: IN is what it receives."""
CLOCK = struct.Struct("!d")
SUM = struct.Struct("!I")
RESULT = struct.Struct("!QdB")
"""Of a stream: bytes, seconds, and whether they were right."""
COUNTS = struct.Struct("!II")

LARGE_BYTES = 64 << 10
"""Enough for many full packets and a first window of TCP, little enough for a thousand of them at once."""
ANSWER_DEADLINE = 3.0
"""Seconds of silence after which a connection is given up: TCP has repeated a lost packet four times by then (after 0.2, 0.6,
1.4 and 3.0 s), and a busy machine has found the time to answer."""
BURST_GROUPS, BURST_PIECES, BURST_PIECE = 12, 8, 256
"""As `probe.connect`: groups of small packets, each group acknowledged before the next, so that none is lost by haste."""
MORE_BURSTS, MORE_SECONDS, ENOUGH = 15, 0.25, 12
"""Further bursts where something was lost, until a rate can be told (see `probe.connect.LOSS_ENOUGH`)."""
PINGS, WARM_PINGS, PING_SECONDS, LEAST_PINGS = 40, 5, 0.1, 5
"""Round trips; the first ones wake the processors. Seconds after which, and the number from which, no more are made."""
WARM_SHARE = 0.25
"""Of a stream's time: TCP finds its pace first, and buckets spend their credit."""
PIECE = 1 << 17
"""Bytes that are sent or taken at once: they stay in a processor's cache."""
LINGER_NONE = struct.pack("ii", 1, 0)
"""Closing drops what has not been sent: what a slow link holds up is not to disturb the next test."""


@cache
def pattern() -> bytes:
    """Bytes that no stuck bit and no doubled block leaves as it is."""
    return Random(20).randbytes(PIECE)


def receive(connection: socket.socket, count: int) -> bytes:
    """Exactly so many bytes. Raises ConnectionError where the other end has closed, TimeoutError where it is silent."""
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("the other end has closed the connection")
        data += piece
    return bytes(data)


def ping(connection: socket.socket) -> tuple[list[float], float, float]:
    """Round trips in seconds, by how much the other clock is ahead, and how wrong that may be."""
    connection.sendall(ORDER.pack(PING, 0))
    times, best, ahead = list[float](), float("inf"), 0.0
    end = 0.0
    for number in range(PINGS + WARM_PINGS):
        here, begin = time.time(), time.perf_counter()
        connection.sendall(b"p")
        (there,) = CLOCK.unpack(receive(connection, CLOCK.size))
        seconds = time.perf_counter() - begin
        if seconds < best:
            best, ahead = seconds, there - here - seconds / 2
        if number == WARM_PINGS:
            times, end = [], begin + PING_SECONDS
        times.append(seconds)
        if end and begin > end and len(times) >= LEAST_PINGS:
            break
    connection.sendall(b".")
    return times, ahead, best / 2


def answer_pings(connection: socket.socket) -> None:
    """The other end of `ping`."""
    while receive(connection, 1) == b"p":
        connection.sendall(CLOCK.pack(time.time()))


def large(size: int) -> bytes:
    """A large piece with its order, as it is sent."""
    return ORDER.pack(LARGE, size) + pattern()[:size]


def sum_of(size: int) -> int:
    """What the other end answers to a large piece."""
    return zlib.crc32(pattern()[:size])


def receive_large(connection: socket.socket, size: int) -> None:
    """Take a large piece, and answer its checksum."""
    connection.sendall(SUM.pack(zlib.crc32(receive(connection, min(size, PIECE)))))


def send_bursts(connection: socket.socket) -> tuple[int, int]:
    """Send small packets; how many, and how many of them were lost. More where any was lost."""
    first = counted(connection)
    if first is None:
        connection.sendall(b".")
        return 0, 0
    sent = lost = 0
    end = time.monotonic() + MORE_SECONDS
    for _ in range(1 + MORE_BURSTS):
        for _ in range(BURST_GROUPS):
            connection.sendall(b"b")
            for _ in range(BURST_PIECES):
                connection.sendall(pattern()[:BURST_PIECE])
            receive(connection, 1)
        now = counted(connection) or first
        sent, lost = now.sent - first.sent, max(0, now.lost - first.lost)
        if not lost or lost >= ENOUGH or time.monotonic() > end:
            break
    connection.sendall(b".")
    return sent, lost


def receive_bursts(connection: socket.socket) -> None:
    """The other end of `send_bursts`."""
    while receive(connection, 1) == b"b":
        receive(connection, BURST_PIECES * BURST_PIECE)
        connection.sendall(b"k")


def send_stream(connection: socket.socket) -> Flow:
    """Send until the other end tells what it has received."""
    view = memoryview(pattern())
    at = 0
    connection.setblocking(False)
    while True:
        readable, writable, _ = select.select([connection], [connection], [], ANSWER_DEADLINE)
        if readable:
            break
        if not writable:
            raise TimeoutError("a stream stands still")
        at = (at + connection.send(view[at:])) % PIECE
    connection.settimeout(ANSWER_DEADLINE)
    count, seconds, right = RESULT.unpack(receive(connection, RESULT.size))
    return Flow(gbit=8e-9 * count / seconds if seconds > 0 else None, right=bool(right))


def receive_stream(connection: socket.socket, seconds: float) -> Flow:
    """Receive for that long, time it after its first part, and tell the other end."""
    ring = bytearray(PIECE)
    view = memoryview(ring)
    total = at = 0
    begin = end = warm = 0.0
    before = 0
    while True:
        got = connection.recv_into(view[at:])
        if not got:
            raise ConnectionError("the other end has closed the stream")
        now = time.perf_counter()
        total, at = total + got, (at + got) % PIECE
        if not begin:
            begin, end = now, now + seconds
        if not warm and now >= begin + WARM_SHARE * seconds:
            warm, before = now, total
        if now >= end and now > warm:
            break
    # What lies in the ring are the last bytes that came, each at the place that it had in the pattern.
    good = pattern()
    right = ring == good if total >= PIECE else ring[:total] == good[:total]
    connection.sendall(RESULT.pack(total - before, now - warm, right))
    return Flow(gbit=8e-9 * (total - before) / (now - warm), right=right)


def drain(connection: socket.socket) -> None:
    """Take what is still on its way, so that the result before it is not lost with the connection."""
    try:
        while connection.recv(PIECE):
            pass
    except OSError:
        return
