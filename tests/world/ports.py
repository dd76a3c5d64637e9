"""Ports for worlds that are started by hand."""

import socket

_HELD: list[socket.socket] = []


def free_port() -> int:
    """A port of this host, kept for as long as the test process runs: one that was let go is soon another's, where test
    processes and worlds of many ranks connect beside this one. Bound with reuse and not listened on, so that a store
    may bind it too."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("", 0))
    _HELD.append(holder)
    return holder.getsockname()[1]
