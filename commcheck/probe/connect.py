"""Connection attempts of our own: the errno that the frameworks do not show, and bytes that really arrive."""

import contextlib
import errno
import os
import socket
import struct
import threading
import time

import msgspec

from commcheck.model.case import SENT_BACK, Outcome, Probe
from commcheck.probe.attempts import connected
from commcheck.probe.neighbours import fixed, router, sent_back, unanswered
from commcheck.probe.tcpinfo import Counted, counted

CONNECT_DEADLINE = 1.3
"""Seconds for a connection. Linux sends the second SYN after 1 s (RFC 6298), so one lost packet is survived."""
NEXT_DEADLINE = 0.4
"""Seconds for each further address of a name: the first has had its time, and the verdict is waited for."""
BULK_DEADLINE = 0.9
"""Seconds for 64 KiB and its receipt through a connection that stands and stays silent meanwhile."""
BULK_BYTES = 65536
STORE_DEADLINE = 0.8
"""Seconds for a store's answer, and for the connection before it."""
BURST_GROUPS, BURST_PIECES, BURST_PIECE = 12, 8, 256
"""Groups of small pieces (and their bytes) before the bulk, each group acknowledged before the next is sent: some 100
packets, of which one in twenty lost would spare all only once in 170 times. Two KiB in flight overfill no buffer, so
what is lost of them is lost by the link and not by congestion."""
BURST_SECONDS = 0.05
"""Seconds after which no other group is begun: a link of long round trips is not held up for the sake of a count."""
LOSS_ENOUGH = 12
"""Lost segments from which a rate can be told (its relative error is 1/sqrt(12), under a third)."""
LOSS_ROUNDS, LOSS_SECONDS = 15, 1.0
"""Further bursts at most where something was lost: 1,500 packets, in which 1 % shows as 15; or a second."""
FAST_SECONDS = 0.003
"""A bulk under this time (over 170 Mbit/s) may have been a token bucket's credit: as much again, three times, follows."""
SLOW_RATE = 25e6
"""Bytes per second (200 Mbit/s) under which one measurement may be a busy machine's: it is repeated, the best counts."""
SLOW_ROUNDS, SLOW_SECONDS = 6, 0.25
"""Repetitions of a slow bulk at most, and the seconds after which no other is begun."""
ROUND_TRIPS = 8
"""Round trips in which 64 KiB pass however far the peer is: from ten segments on, TCP doubles what it sends in each
(RFC 6928), and three would do. A slow bulk that took no more of them than this tells of the distance alone."""
TICK = 0.004
"""Seconds by which the kernel's count of busy time may fall short: it is kept in ticks, of which most kernels have 250
or more a second."""

_HERE, _LATE, _LOST = "here", "late", "lost"
"""What became of the receipt: it came; all was acknowledged by the peer's kernel, but its process is busy or stopped;
nothing moves any more."""
_HELLO = struct.Struct("!16sI")  # nonce, length of the payload that follows
_REPLY = struct.Struct("!16sI")  # nonce, rank of the one that answers

UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EINVAL, errno.EACCES}


def connect(
    address: str, port: int, *, kind: str = "master", peer_rank: int | None = None, deadline: float = CONNECT_DEADLINE
) -> Probe:
    """One TCP connection attempt to a name or address, closed at once. Never raises."""
    begin = time.monotonic()
    try:
        where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except OSError as e:
        return _probe(kind, address, port, Outcome.UNRESOLVED, begin, peer_rank, detail=str(e))
    last = _probe(kind, address, port, Outcome.OTHER, begin, peer_rank, detail="no address to try")
    for family, _, _, _, target in where:
        last, connection = _attempt(family, target, kind, address, port, begin, peer_rank, deadline)
        if connection is not None:
            connection.close()
            return last
        deadline = min(deadline, NEXT_DEADLINE)
    return last


def way(address: str, port: int, kind: str, peer_rank: int | None) -> Probe:
    """Whether this host has a route to an address, without sending anything: the kernel looks it up for a datagram."""
    begin = time.monotonic()
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((address, port))
    except OSError as e:
        outcome = Outcome.UNREACHABLE if e.errno in UNREACHABLE else Outcome.OTHER
        return _probe(kind, address, port, outcome, begin, peer_rank, number=e.errno or 0, detail=e.strerror or str(e))
    return msgspec.structs.replace(_probe(kind, address, port, Outcome.OK, begin, peer_rank), fixed=fixed(address))


def exchange(
    address: str, port: int, nonce: bytes, peer_rank: int, deadline: float = CONNECT_DEADLINE
) -> tuple[Probe, ...]:
    """Connect to a peer's `Answering` listener and send 64 KiB through, more where that loses packets or is slow: a
    "data" and, if it connects, a "bulk" probe."""
    begin = time.monotonic()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    data, connection = _attempt(family, (address, port), "data", address, port, begin, peer_rank, deadline)
    if connection is None:
        return (data,)
    with connection:
        begin = time.monotonic()
        try:
            connection.settimeout(BULK_DEADLINE)
            # What is sent in small pieces is to travel in small packets.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(_HELLO.pack(nonce, 0))
            reply = _receive(connection, _REPLY.size, data.seconds + CONNECT_DEADLINE)
            if len(reply) < _REPLY.size or _REPLY.unpack(reply)[0] != nonce or _REPLY.unpack(reply)[1] != peer_rank:
                detail = "another program, or another rank, answered there"
                return (_probe("data", address, port, Outcome.OTHER, begin, peer_rank, detail=detail),)
        except OSError as e:
            return (_probe("data", address, port, Outcome.STALLED, begin, peer_rank, detail=str(e)),)
        return (data, _bulk(connection, nonce, address, port, peer_rank))


def _bulk(connection: socket.socket, nonce: bytes, address: str, port: int, peer_rank: int) -> Probe:
    begin = time.monotonic()
    outcome, detail, arrived, rate = Outcome.OK, "", 0, 0.0
    count = None
    try:
        receipt = _burst(connection, nonce)
        count = counted(connection)
        if receipt == _LOST:
            outcome, detail = Outcome.STALLED, "small messages stopped coming through"
        else:
            sent_at = time.monotonic()
            receipt = _piece(connection, nonce, BULK_BYTES) if receipt == _HERE else receipt
            arrived = BULK_BYTES if receipt != _LOST else max(0, BULK_BYTES - unacknowledged(connection))
            if receipt == _LOST:
                outcome, detail = Outcome.STALLED, f"64 KiB were sent and {arrived} bytes ever acknowledged"
            elif receipt == _LATE:
                detail = "its kernel has acknowledged all, its process is busy or stopped"
            else:
                rate = _rate(connection, nonce, time.monotonic() - sent_at)
                count = _losses(connection, nonce, count)
    except OSError as e:
        outcome, detail = Outcome.STALLED, f"64 KiB did not come through: {e}"
    count = count or Counted()
    return msgspec.structs.replace(
        _probe("bulk", address, port, outcome, begin, peer_rank, detail=detail),
        sent=count.sent,
        lost=count.lost,
        arrived=arrived,
        rate=float(round(rate)),
    )


def _burst(connection: socket.socket, nonce: bytes) -> str:
    """Send small pieces, each a packet of its own, in groups of which the last has to be there before the next."""
    end = time.monotonic() + BURST_SECONDS
    piece = bytes(BURST_PIECE)
    for _ in range(BURST_GROUPS):
        connection.sendall(_HELLO.pack(nonce, BURST_PIECES * BURST_PIECE))
        for _ in range(BURST_PIECES):
            connection.sendall(piece)
        receipt = _receipt(connection)
        if receipt != _HERE or time.monotonic() > end:
            return receipt
    return _HERE


def _piece(connection: socket.socket, nonce: bytes, size: int) -> str:
    """Send `size` bytes at once.

    A slow link is not a dead one: what counts is whether anything moves, so the time is per piece, not in all."""
    connection.settimeout(BULK_DEADLINE)
    connection.sendall(_HELLO.pack(nonce, size))
    view = memoryview(bytes(size))
    try:
        while view:
            view = view[connection.send(view[:8192]) :]
    except TimeoutError:
        return _LOST
    return _receipt(connection)


def _losses(connection: socket.socket, nonce: bytes, first: Counted | None) -> Counted | None:
    """What was sent and lost of small packets: those of the `first` burst, and, where any packet was lost so far, of
    more of them until a rate can be told. What is lost of large ones may be their size's fault, or our own haste's."""
    begin = counted(connection)
    if first is None or begin is None or begin.lost == 0:
        return first
    total, end = first, time.monotonic() + LOSS_SECONDS
    for _ in range(LOSS_ROUNDS):
        if total.lost >= LOSS_ENOUGH or time.monotonic() > end or _burst(connection, nonce) != _HERE:
            break
        now = counted(connection) or begin
        total = Counted(sent=first.sent + now.sent - begin.sent, lost=first.lost + max(0, now.lost - begin.lost))
    return total


def _rate(connection: socket.socket, nonce: bytes, first: float) -> float:
    """Bytes per second through the connection, whose first 64 KiB took `first` seconds; 0 where it broke off, or where
    the distance and not the link took the time."""
    best = BULK_BYTES / max(first, 1e-6)
    if first < FAST_SECONDS:
        best = _timed(connection, nonce, 3 * BULK_BYTES)
    end = time.monotonic() + SLOW_SECONDS
    for _ in range(SLOW_ROUNDS):
        if not 0.0 < best < SLOW_RATE:
            break
        if _distant(connection, best):
            return 0.0
        if time.monotonic() > end:
            break
        best = max(best, _timed(connection, nonce, BULK_BYTES))
    return best


def _distant(connection: socket.socket, rate: float) -> bool:
    """Whether 64 KiB at `rate` took no more round trips than they may take over any distance."""
    count = counted(connection)
    return count is not None and rate * ROUND_TRIPS * count.round_trip > BULK_BYTES


def _timed(connection: socket.socket, nonce: bytes, size: int) -> float:
    """Bytes per second of one piece, by our clock or the kernel's, whichever saw it go faster; 0 where it broke off."""
    before, begin = counted(connection), time.monotonic()
    if _piece(connection, nonce, size) != _HERE:
        return 0.0
    seconds, after = time.monotonic() - begin, counted(connection)
    if before is not None and after is not None:
        seconds = min(seconds, after.busy - before.busy + TICK)
    return size / max(seconds, 1e-6)


_SIOCOUTQ = 0x5411  # linux/sockios.h: bytes in the send queue that the peer has not acknowledged


def unacknowledged(connection: socket.socket) -> int:
    """Bytes that were sent and of which the peer has not said that it has them."""
    import fcntl

    return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), _SIOCOUTQ, b"\0" * 4))[0])


def _receipt(connection: socket.socket) -> str:
    """Wait for the receipt as long as the peer keeps acknowledging."""
    connection.settimeout(BULK_DEADLINE)
    left = unacknowledged(connection)
    while True:
        try:
            return _HERE if len(_receive(connection, _REPLY.size, BULK_DEADLINE)) == _REPLY.size else _LOST
        except TimeoutError:
            now = unacknowledged(connection)
            if now in {0, left}:
                return _LATE if now == 0 else _LOST
            left = now


def _receive(connection: socket.socket, count: int, deadline: float) -> bytes:
    connection.settimeout(deadline)
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


def _attempt(
    family: int,
    target: tuple[object, ...],
    kind: str,
    address: str,
    port: int,
    begin: float,
    peer_rank: int | None,
    deadline: float,
) -> tuple[Probe, socket.socket | None]:
    try:
        connection = connected(family, target, deadline)
    except TimeoutError:
        detail = f"no answer within {deadline:g} s"
        probe = _probe(kind, address, port, Outcome.TIMED_OUT, begin, peer_rank, number=errno.ETIMEDOUT, detail=detail)
        return _asked(probe, str(target[0])), None
    except OSError as e:
        number, detail = e.errno or 0, e.strerror or str(e)
        outcome = Outcome.OTHER
        if number == errno.ECONNREFUSED:
            outcome = Outcome.REFUSED
        elif sent_back(family, target, number):
            outcome, detail = Outcome.REFUSED, f"{detail}, {SENT_BACK}"
        elif number in UNREACHABLE:
            outcome = Outcome.UNREACHABLE
        probe = _probe(kind, address, port, outcome, begin, peer_rank, number=number, detail=detail)
        return _asked(probe, str(target[0])), None
    connection.settimeout(deadline)
    via = str(connection.getsockname()[0])
    return _probe(kind, address, port, Outcome.OK, begin, peer_rank, via=via), connection


def _asked(probe: Probe, address: str) -> Probe:
    """With what the kernel knows of the first hop towards an address that was not reached."""
    if not unanswered(address):
        return msgspec.structs.replace(probe, fixed=fixed(address))
    return msgspec.structs.replace(probe, unanswered=True, router=router(address))


def _probe(
    kind: str,
    address: str,
    port: int,
    outcome: Outcome,
    begin: float,
    peer_rank: int | None,
    *,
    number: int = 0,
    via: str = "",
    detail: str = "",
) -> Probe:
    return Probe(
        kind=kind,
        target=address,
        port=port,
        outcome=outcome,
        peer_rank=peer_rank,
        via=via,
        errno=errno.errorcode.get(number, "") if number else "",
        seconds=round(time.monotonic() - begin, 6),
        detail=detail,
    )


class Answering:
    """A listener on an ephemeral port of `address` that answers `exchange`, in threads that end with the process."""

    def __init__(self, address: str, nonce: bytes, rank: int) -> None:
        """Raises OSError when the address cannot be bound."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.bind((address, 0))
        self._socket.listen(128)
        self._nonce = nonce
        self._rank = rank
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, name="commcheck-answering", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):  # "not connected", say some kernels of a listener; closing is what counts
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while True:
                    hello = _receive(connection, _HELLO.size, 60.0)
                    if len(hello) < _HELLO.size:
                        return
                    nonce, length = _HELLO.unpack(hello)
                    if nonce != self._nonce:
                        return
                    while length > 0:
                        piece = connection.recv(min(length, BULK_BYTES))
                        if not piece:
                            return
                        length -= len(piece)
                    connection.sendall(_REPLY.pack(self._nonce, self._rank))
            except OSError:
                return


def answers_as_store(address: str, port: int) -> bool | None:
    """Ask a PyTorch TCPStore's PING (validate with the magic number, then ping with a nonce), which is answered with that
    nonce (torch/csrc/distributed/c10d/TCPStoreBackend). None: nothing was said within STORE_DEADLINE."""
    validate, ping, magic = 0, 13, 0x3C85F7CE
    nonce = os.getpid() & 0x7FFFFFFF
    try:
        with socket.create_connection((address, port), timeout=STORE_DEADLINE) as connection:
            connection.settimeout(STORE_DEADLINE)
            connection.sendall(struct.pack("<BI", validate, magic) + struct.pack("<BI", ping, nonce))
            return struct.pack("<I", nonce) in _receive(connection, 4, STORE_DEADLINE)
    except TimeoutError:
        return None
    except OSError:
        return False
