"""One host measures the link to another: latency, losses, and one stream each way."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from commcheck.cluster import wire
from commcheck.cluster.reaching import connect_all, greeted
from commcheck.cluster.values import Flow, Measured, Target
from commcheck.model.cluster import Reach
from commcheck.probe.attempts import connected
from commcheck.probe.connect import CONNECT_DEADLINE

PLAIN = 4
"""Lost small packets from which a link is known to be bad: what a stream over it comes to would be luck, and takes seconds."""
_DEADLINE = struct.pack("ll", 2, 0)  # struct timeval
CONNECTS, CONNECT_SECONDS, LEAST_CONNECTS = 20, 0.1, 5
"""Connections whose times are taken; seconds after which, and the number from which, no more are made."""


def measure(target: Target, own: int, *, seconds: float, small: bool, both: bool = False) -> Measured:
    """All of it, as far as it comes. Never raises."""
    found = Measured(source=own, target=target.rank)
    port, found = _open_port(target, found)
    if port is None:
        return found
    there, back = Flow(), Flow()
    values: dict[str, float] = {}
    failed = ""
    try:
        if small:
            values, there, back = _small(target, port)
        if max(there.lost, back.lost) >= PLAIN:
            seconds = 0.0
        if seconds and both:
            with ThreadPoolExecutor(1) as beside:
                receiving = beside.submit(_streamed, target, port, wire.STREAM_OUT, seconds)
                there = _merged(there, _streamed(target, port, wire.STREAM_IN, seconds))
                back = _merged(back, receiving.result())
        elif seconds:
            there = _merged(there, _streamed(target, port, wire.STREAM_IN, seconds))
            back = _merged(back, _streamed(target, port, wire.STREAM_OUT, seconds))
    except OSError as error:
        failed = f"it broke off: {error}"
    return Measured(
        source=own,
        target=target.rank,
        latency_us=values.get("latency_us"),
        connect_us=values.get("connect_us"),
        ahead=values.get("ahead"),
        ahead_error=values.get("ahead_error", 0.0),
        there=there,
        back=back,
        failed=failed,
    )


def _open_port(target: Target, found: Measured) -> tuple[int | None, Measured]:
    """The first port that answers."""
    for port in target.ports:
        tried, connection = connect_all(target.address, (port,), CONNECT_DEADLINE)[port]
        if connection is not None:
            connection.close()
            return port, found
        if tried.reach is not Reach.REFUSED and tried.reach is not Reach.DROPPED:
            break
    return None, Measured(source=found.source, target=found.target, failed="none of its ports answers")


@contextlib.contextmanager
def _session(target: Target, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
    with connected(family, (target.address, port), CONNECT_DEADLINE) as connection:
        if not greeted(connection, target):
            raise ConnectionError("the host that is meant does not answer")
        yield connection


def _small(target: Target, port: int) -> tuple[dict[str, float], Flow, Flow]:
    """Small messages: round trips, connections, losses each way."""
    with _session(target, port) as connection:
        trips, ahead, error = wire.ping(connection)
        connection.sendall(wire.ORDER.pack(wire.BURST_IN, 0))
        sent, lost = wire.send_bursts(connection)
        connection.sendall(wire.ORDER.pack(wire.BURST_OUT, 0))
        wire.receive_bursts(connection)
        theirs = wire.COUNTS.unpack(wire.receive(connection, wire.COUNTS.size))
    values = {"latency_us": round(median(trips) * 1e6, 1), "ahead": ahead, "ahead_error": error}
    if max(lost, theirs[1]) < PLAIN:  # a lost one would take a second
        values["connect_us"] = round(_connect_time(target, port) * 1e6, 1)
    return values, Flow(sent=sent, lost=lost), Flow(sent=theirs[0], lost=theirs[1])


def _connect_time(target: Target, port: int) -> float:
    """Seconds that a connection takes: the median of some."""
    family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
    times: list[float] = []
    end = time.perf_counter() + CONNECT_SECONDS
    while len(times) < LEAST_CONNECTS or (len(times) < CONNECTS and time.perf_counter() < end):
        with socket.socket(family, socket.SOCK_STREAM) as one:
            # By the kernel's own deadline: Python's would cost two further calls.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _DEADLINE)
            begin = time.perf_counter()
            one.connect((target.address, port))
            times.append(time.perf_counter() - begin)
    return median(times)


def _streamed(target: Target, port: int, way: int, seconds: float) -> Flow:
    """One stream, on a connection of its own: what it leaves in buffers goes with it."""
    with _session(target, port) as connection:
        connection.sendall(wire.ORDER.pack(way, round(seconds * 1e6)))
        if way == wire.STREAM_IN:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, wire.LINGER_NONE)
            return wire.send_stream(connection)
        flow = wire.receive_stream(connection, seconds)
        wire.drain(connection)
        return flow


def _merged(small: Flow, stream: Flow) -> Flow:
    return Flow(gbit=stream.gbit, sent=small.sent, lost=small.lost, right=small.right and stream.right)
