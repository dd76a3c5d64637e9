"""One TCP connection, by several attempts: what is lost by chance is told from what is dropped on purpose."""

import contextlib
import errno
import os
import select
import socket
import time

INSIST_AFTER, INSIST_WITH = 0.6, 7
"""Seconds of silence after which so many attempts more are made beside the first: a firewall drops all of them, a link
that loses one packet in four all nine SYNs or their answers once in 1,700 times."""


def connected(family: int, target: tuple[object, ...], deadline: float) -> socket.socket:
    """A connection, by the first of several attempts that gets through. Raises TimeoutError where none is answered, and
    the OSError with which one is."""
    end = time.monotonic() + deadline
    with contextlib.ExitStack() as tried:
        under_way: dict[int, socket.socket] = {}
        waiting = select.poll()

        def ask(count: int) -> None:
            for _ in range(count):
                attempt = tried.enter_context(socket.socket(family, socket.SOCK_STREAM))
                attempt.setblocking(False)
                number = attempt.connect_ex(target)
                if number not in (0, errno.EINPROGRESS):
                    raise OSError(number, os.strerror(number))
                under_way[attempt.fileno()] = attempt
                waiting.register(attempt, select.POLLOUT)

        ask(1)
        answered = waiting.poll(1000 * min(deadline, INSIST_AFTER))
        if not answered and deadline > INSIST_AFTER:
            ask(INSIST_WITH)
            answered = waiting.poll(1000 * max(0.0, end - time.monotonic()))
        if not answered:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        first = under_way[answered[0][0]]
        number = first.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        return first.dup()
