"""A host's listening side: ports over the range from which the kernel takes those of data connections, and what it answers."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from itertools import pairwise
from random import Random

from commcheck.cluster import wire

DATA_PORTS = 8
"""Ports tried in the range of data connections, one in each eighth of it: a blocked range of a quarter holds at least one."""
LOW_RANGE, LOW_PORTS = (20_000, 29_000), 2
"""Where launchers put the ports of stores, below 29400 and 29500, which are a job's own."""
BACKLOG = 1024
TRIES = 20
"""Ports of a part of the range that are tried, of which some are taken."""
_V4_IN_V6 = 0
"""IPV6_V6ONLY off: one socket for both families."""


class Responder:
    """Listens on all addresses and answers, in threads that end with the process. Raises OSError where nothing can listen."""

    def __init__(self, port_range: tuple[int, int], rank: int) -> None:
        self.mark = os.urandom(wire.MARK)
        self._rank = rank
        luck = Random(rank)
        self._sockets = [one for part in parts(port_range) if (one := _listening(part, luck)) is not None]
        if not self._sockets:
            raise OSError("all ports that were tried are taken")
        self.ports = tuple(int(one.getsockname()[1]) for one in self._sockets)
        threading.Thread(target=self._accept, name="commcheck-responder", daemon=True).start()

    def _accept(self) -> None:
        waiting = selectors.DefaultSelector()
        for one in self._sockets:
            waiting.register(one, selectors.EVENT_READ, one)
        while True:
            for key, _ in waiting.select():
                with contextlib.suppress(OSError):  # it has gone again
                    connection, _ = key.data.accept()
                    threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the other end sees it too, and says so
            connection.settimeout(wire.ANSWER_DEADLINE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            mark, _ = wire.GREETING.unpack(wire.receive(connection, wire.GREETING.size))
            if mark != self.mark:
                return
            connection.sendall(wire.GREETING.pack(self.mark, self._rank))
            while True:
                order, amount = wire.ORDER.unpack(wire.receive(connection, wire.ORDER.size))
                serve(connection, order, amount)


def _listening(part: tuple[int, int], luck: Random) -> socket.socket | None:
    """A socket on a port of that part of the range."""
    for _ in range(TRIES):
        family = socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET
        try:
            one = socket.socket(family, socket.SOCK_STREAM)
        except OSError:  # a kernel without IPv6
            family = socket.AF_INET
            one = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, _V4_IN_V6)
            one.bind(("", luck.randint(*part)))
            one.listen(BACKLOG)
            one.setblocking(False)
            return one
        except OSError:
            one.close()
    return None


def serve(connection: socket.socket, order: int, amount: int) -> None:
    """Do what the other end has asked for. Raises OSError where it cannot be done to its end."""
    if order == wire.PING:
        wire.answer_pings(connection)
    elif order == wire.LARGE:
        wire.receive_large(connection, amount)
    elif order == wire.BURST_IN:
        wire.receive_bursts(connection)
    elif order == wire.BURST_OUT:
        connection.sendall(wire.COUNTS.pack(*wire.send_bursts(connection)))
    elif order == wire.STREAM_IN:
        wire.receive_stream(connection, amount / 1e6)
        wire.drain(connection)
        raise ConnectionError("a stream is the last on its connection")
    elif order == wire.STREAM_OUT:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, wire.LINGER_NONE)
        wire.send_stream(connection)
        raise ConnectionError("a stream is the last on its connection")
    else:
        raise ConnectionError("an order that is not known here: other versions of commcheck")


def parts(port_range: tuple[int, int]) -> list[tuple[int, int]]:
    """The parts of which each gets a port, the first for the main one: data ports, then low ones. Pure."""
    low, high = port_range
    found = []
    for (begin, end), count in (((low, high), min(DATA_PORTS, high - low + 1)), (LOW_RANGE, LOW_PORTS)):
        bounds = [begin + (end + 1 - begin) * k // count for k in range(count + 1)]
        found += [(a, b - 1) for a, b in pairwise(bounds)]
    return found
