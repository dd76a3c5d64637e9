"""One host tries all others at once: what their names say, which of their ports answer, and whether large pieces arrive."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from statistics import median

from msgspec.structs import replace

from commcheck.cluster import wire
from commcheck.cluster.values import PortTry, Reached, Target
from commcheck.model.cluster import Reach
from commcheck.probe.connect import CONNECT_DEADLINE, UNREACHABLE, unacknowledged
from commcheck.probe.names import look_up
from commcheck.probe.neighbours import fixed, unanswered

AT_ONCE = 8
"""Targets in the works at a time, with about ten connections each."""
INSIST_AFTER, INSIST_WITH = 0.6, 5
"""Seconds of silence after which so many attempts more are made at each silent port (as `probe.attempts`)."""
STALLED = 2.0
"""Seconds in which no further byte of 64 KiB is acknowledged: TCP has repeated it three times by then."""
MOVED_AGAIN, MOVED_SLOW = 8, 4.0
"""Links over which pieces went so many times slower than over this host's others get a second try, by themselves: somebody may
have been busy. So many at most, the slowest."""
NAMES_AT_ONCE = 32
"""Look-ups in the works at a time: each is a thread."""
LARGE_DEADLINE = 8.0
"""Seconds for 64 KiB that do move: 10 kB/s."""
MOVED, MOVED_SECONDS = 8, 0.25
"""Further pieces of 128 KiB that a group's test moves over each link, and seconds after which the rest is left: a gigabit link
takes a hundredth of a second for them."""
_IP_MTU, _IPV6_MTU = 14, 24  # linux/in.h, linux/in6.h


def meet(targets: tuple[Target, ...], own: int) -> tuple[Reached, ...]:
    """Each target but oneself, those that follow oneself first: no target is tried by all at the same time."""
    return meet_these(sorted((t for t in targets if t.rank != own), key=lambda t: (t.rank <= own, t.rank)))


def meet_these(targets: Sequence[Target], *, moving: bool = False) -> tuple[Reached, ...]:
    """These, in this order. `moving`: with further pieces, by which a link that is far slower than others is noticed."""
    names = _names(tuple(t.name for t in targets))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = tuple(pool.map(lambda t: _one(t, *names[t.name], moving=moving), targets))
    rates = [one.gbit for one in found if one.gbit is not None]
    if not rates:
        return found
    late = sorted(rates)[:MOVED_AGAIN]
    limit = min(late[-1], median(rates) / MOVED_SLOW)
    return tuple(
        _moved_again(one, target) if one.gbit is not None and one.gbit <= limit else one
        for one, target in zip(found, targets, strict=True)
    )


def _names(asked: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], str]]:
    found = {}
    for begin in range(0, len(asked), NAMES_AT_ONCE):
        for one in look_up(asked[begin : begin + NAMES_AT_ONCE], ()):
            found[one.name] = (one.addresses, one.error)
    return found


def _one(target: Target, named: tuple[str, ...], error: str, *, moving: bool) -> Reached:
    tries: list[PortTry] = []
    large, detail, mtu, gbit = Reach.NOT_TRIED, "", None, None
    connections = connect_all(target.address, target.ports, CONNECT_DEADLINE)
    try:
        for port, (tried, connection) in connections.items():
            if connection is None or large is not Reach.NOT_TRIED:
                tries.append(tried)
            elif greeted(connection, target):
                large, detail, mtu = _large(connection, target.address)
                gbit = _moved(connection) if moving and large is Reach.OK else None
                tries.append(tried)
            else:
                tries.append(PortTry(port=port, reach=Reach.WRONG_VALUES, detail="another program, or host, answered"))
    finally:
        for _, connection in connections.values():
            if connection is not None:
                connection.close()
    return Reached(
        rank=target.rank,
        ports=tuple(tries),
        large=large,
        large_detail=detail,
        mtu=mtu,
        gbit=gbit,
        named=named,
        name_error=error,
        fixed=fixed(target.address) if all(t.reach is Reach.DROPPED for t in tries) else "",
    )


def greeted(connection: socket.socket, target: Target) -> bool:
    """The host that is meant is the one that answers."""
    connection.settimeout(wire.ANSWER_DEADLINE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        connection.sendall(wire.GREETING.pack(target.mark, target.rank))
        return wire.GREETING.unpack(wire.receive(connection, wire.GREETING.size)) == (
            target.mark,
            target.rank,
        )
    except OSError:
        return False


def _large(connection: socket.socket, address: str) -> tuple[Reach, str, int | None]:
    """Send 64 KiB; what became of them, and the path's MTU."""
    data = wire.large(wire.LARGE_BYTES)
    connection.settimeout(STALLED)
    at, before, reply, begun = 0, len(data), b"", time.monotonic()
    while len(reply) < wire.SUM.size:
        try:
            if at < len(data):
                at += connection.send(data[at:])
                continue
            piece = connection.recv(wire.SUM.size - len(reply))
            if not piece:
                return Reach.DROPPED, "the connection was closed while 64 KiB were sent", None
            reply += piece
        except TimeoutError:
            left = unacknowledged(connection) + len(data) - at
            if left >= before or time.monotonic() > begun + LARGE_DEADLINE:
                return _stalled(max(0, len(data) - left), len(data), time.monotonic() - begun)
            before = left
        except OSError as failed:
            return Reach.DROPPED, f"64 KiB did not come through: {failed}", None
    if wire.SUM.unpack(reply) != (wire.sum_of(wire.LARGE_BYTES),):
        return Reach.WRONG_VALUES, "64 KiB arrived with another checksum", path_mtu(connection, address)
    return Reach.OK, "", path_mtu(connection, address)


def _stalled(arrived: int, size: int, seconds: float) -> tuple[Reach, str, int | None]:
    if arrived >= size:
        return Reach.NOT_TRIED, f"its kernel has taken 64 KiB, its process has not answered in {seconds:.1f} s", None
    reach = Reach.DROPPED if arrived else Reach.SMALL_ONLY
    return reach, f"small messages passed; of 64 KiB {arrived} bytes were acknowledged in {seconds:.1f} s", None


def _moved_again(found: Reached, target: Target) -> Reached:
    """The better one of two."""
    for port in (p.port for p in found.ports if p.reach is Reach.OK):
        connection = connect_all(target.address, (port,), CONNECT_DEADLINE)[port][1]
        if connection is None:
            continue
        with connection:
            gbit = _moved(connection) if greeted(connection, target) else None
        return replace(found, gbit=max(found.gbit or 0.0, gbit or 0.0))
    return found


@cache
def _pieces() -> memoryview:
    return memoryview(wire.large(wire.PIECE) * MOVED)


def _moved(connection: socket.socket) -> float | None:
    """Gbit/s at which the other end takes further pieces, as far as it takes them in time."""
    data = _pieces()
    at, left, begun = 0, MOVED * wire.SUM.size, time.perf_counter()
    try:
        while left:
            connection.settimeout(max(0.001, begun + MOVED_SECONDS - time.perf_counter()))
            if at < len(data):
                at += connection.send(data[at:])
            else:
                answer = connection.recv(left)
                if not answer:
                    return None
                left -= len(answer)
    except TimeoutError:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, wire.LINGER_NONE)
    except OSError:
        return None
    arrived = at - unacknowledged(connection) if left else at
    return 8e-9 * max(1, arrived) / (time.perf_counter() - begun)


def path_mtu(connection: socket.socket, address: str) -> int | None:
    """What the kernel knows of the path."""
    try:
        if ":" in address:
            return connection.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
        return connection.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        return None


def connect_all(
    address: str, ports: tuple[int, ...], deadline: float
) -> dict[int, tuple[PortTry, socket.socket | None]]:
    """Connections to all these ports at once; those that stand are the caller's to close."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    done: dict[int, tuple[PortTry, socket.socket | None]] = {}
    under_way: dict[int, tuple[int, socket.socket]] = {}
    waiting = select.poll()

    def ask(port: int) -> None:
        attempt = socket.socket(family, socket.SOCK_STREAM)
        attempt.setblocking(False)
        number = attempt.connect_ex((address, port))
        if number in (0, errno.EINPROGRESS):
            under_way[attempt.fileno()] = (port, attempt)
            waiting.register(attempt, select.POLLOUT)
        else:
            attempt.close()
            done.setdefault(port, (_failed(port, number, address), None))

    def answers(seconds: float) -> None:
        end = time.monotonic() + seconds
        while len(done) < len(ports):
            ready = waiting.poll(1000 * max(0.0, end - time.monotonic()))
            for fd, _ in ready:
                port, attempt = under_way.pop(fd)
                waiting.unregister(fd)
                number = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if number or port in done:
                    attempt.close()
                    done.setdefault(port, (_failed(port, number, address), None))
                else:
                    done[port] = (PortTry(port=port, reach=Reach.OK), attempt)
            if not ready and time.monotonic() >= end:
                return

    try:
        for port in ports:
            ask(port)
        answers(min(INSIST_AFTER, deadline))
        silent = [port for port in ports if port not in done]
        for port in silent * INSIST_WITH:
            if port not in done:
                ask(port)
        if silent:
            answers(deadline - INSIST_AFTER)
    finally:
        for _, attempt in under_way.values():
            attempt.close()
    return {port: done.get(port) or (_failed(port, errno.ETIMEDOUT, address), None) for port in ports}


def _failed(port: int, number: int, address: str) -> PortTry:
    if number == errno.ECONNREFUSED:
        reach = Reach.REFUSED
    elif unanswered(address):
        reach = Reach.NO_NEIGHBOUR
    elif number in UNREACHABLE:
        reach = Reach.NO_ROUTE
    else:
        reach = Reach.DROPPED
    return PortTry(port=port, reach=reach, detail=os.strerror(number))
