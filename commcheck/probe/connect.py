"""Connection attempts of our own: the errno that the frameworks do not show, and bytes that really arrive."""

import contextlib
import errno
import os
import socket
import struct
import threading
import time

from commcheck.model.case import Outcome, Probe

CONNECT_DEADLINE = 1.3
"""Seconds for a connection. Linux sends the second SYN after 1 s (RFC 6298), so one lost packet is survived."""
NEXT_DEADLINE = 0.4
"""Seconds for each further address of a name: the first has had its time, and the verdict is waited for."""
BULK_DEADLINE = 0.9
"""Seconds for 64 KiB and its receipt through a connection that stands and stays silent meanwhile."""
BULK_BYTES = 65536
_HELLO = struct.Struct("!16sI")  # nonce, length of the payload that follows
_REPLY = struct.Struct("!16sI")  # nonce, rank of the one that answers

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EINVAL}


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


def exchange(
    address: str, port: int, nonce: bytes, peer_rank: int, deadline: float = CONNECT_DEADLINE
) -> tuple[Probe, ...]:
    """Connect to a peer's `Answering` listener, and send 64 KiB through: a "data" and, if it connects, a "bulk" probe."""
    begin = time.monotonic()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    data, connection = _attempt(family, (address, port), "data", address, port, begin, peer_rank, deadline)
    if connection is None:
        return (data,)
    with connection:
        begin = time.monotonic()
        try:
            connection.settimeout(BULK_DEADLINE)
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
    try:
        # A slow link is not a dead one: what counts is whether anything moves, so the time is per piece, not in all.
        connection.sendall(_HELLO.pack(nonce, BULK_BYTES))
        view = memoryview(bytes(BULK_BYTES))
        while view:
            view = view[connection.send(view[:8192]) :]
        reply = _wait_while_moving(connection)
    except OSError as e:
        return _probe(
            "bulk", address, port, Outcome.STALLED, begin, peer_rank, detail=f"64 KiB did not come through: {e}"
        )
    if len(reply) < _REPLY.size:
        detail = "64 KiB were sent and never acknowledged"
        return _probe("bulk", address, port, Outcome.STALLED, begin, peer_rank, detail=detail)
    return _probe("bulk", address, port, Outcome.OK, begin, peer_rank)


_SIOCOUTQ = 0x5411  # linux/sockios.h: bytes in the send queue that the peer has not acknowledged


def _unacknowledged(connection: socket.socket) -> int:
    import fcntl

    return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), _SIOCOUTQ, b"\0" * 4))[0])


def _wait_while_moving(connection: socket.socket) -> bytes:
    """Wait for the receipt as long as the peer keeps acknowledging."""
    connection.settimeout(BULK_DEADLINE)
    left = _unacknowledged(connection)
    while True:
        try:
            return _receive(connection, _REPLY.size, BULK_DEADLINE)
        except TimeoutError:
            now = _unacknowledged(connection)
            if now == left:
                return b""
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
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(deadline)
    try:
        connection.connect(target)
    except TimeoutError:
        connection.close()
        detail = f"no answer within {deadline:g} s"
        return _probe(
            kind, address, port, Outcome.TIMED_OUT, begin, peer_rank, number=errno.ETIMEDOUT, detail=detail
        ), None
    except OSError as e:
        connection.close()
        number = e.errno or 0
        outcome = Outcome.OTHER
        if number == errno.ECONNREFUSED:
            outcome = Outcome.REFUSED
        elif number in _UNREACHABLE:
            outcome = Outcome.UNREACHABLE
        return _probe(kind, address, port, outcome, begin, peer_rank, number=number, detail=e.strerror or str(e)), None
    via = str(connection.getsockname()[0])
    return _probe(kind, address, port, Outcome.OK, begin, peer_rank, via=via), connection


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


def looks_like_store(address: str, port: int, deadline: float = 0.8) -> bool:
    """Whether what listens there answers as a PyTorch TCPStore: its PING query (validate with the magic number,
    then ping with a nonce) is answered with that nonce (torch/csrc/distributed/c10d/TCPStoreBackend)."""
    validate, ping, magic = 0, 13, 0x3C85F7CE
    nonce = os.getpid() & 0x7FFFFFFF
    try:
        with socket.create_connection((address, port), timeout=deadline) as connection:
            connection.settimeout(deadline)
            connection.sendall(struct.pack("<BI", validate, magic) + struct.pack("<BI", ping, nonce))
            return struct.pack("<I", nonce) in _receive(connection, 4, deadline)
    except OSError:
        return False
