"""What the kernel counts for one TCP connection (getsockopt TCP_INFO)."""

import socket
import struct

from commcheck.model.base import Value

_LAYOUT = struct.Struct("=100xI 44xI 4xI 8xQ Q 32xI")
"""struct tcp_info of linux/tcp.h, of which we take tcpi_total_retrans (offset 100), tcpi_min_rtt (148),
tcpi_data_segs_out (156), tcpi_busy_time (168), tcpi_rwnd_limited (176) and tcpi_dsack_dups (216). The kernel only ever adds fields at the end.

Not tcpi_delivery_rate: a sender that pauses never lowers it again, so it shows the best burst."""


class Counted(Value, frozen=True):
    """`sent`: segments with data, those that were sent again among them. `lost`: of these, how many were sent again
    and not reported by the peer as received twice (DSACK, RFC 2883): a repetition that came from impatience alone (a
    busy machine, a late acknowledgement) is no loss. `busy`: seconds in which something sent was not acknowledged yet,
    those not counted in which the peer's process had left no room: the link's time, and not that of a process which
    waits for a processor. `round_trip`: the shortest one, in seconds."""

    sent: int = 0
    lost: int = 0
    busy: float = 0.0
    round_trip: float = 0.0


def counted(connection: socket.socket) -> Counted | None:
    """The kernel's counts of a connection; None where it is older than the fields (Linux 4.19) or does not tell."""
    try:
        data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAYOUT.size)
    except OSError:
        return None
    if len(data) < _LAYOUT.size:
        return None
    retransmitted, round_trip, sent, busy, no_room, doubled = _LAYOUT.unpack(data)
    return Counted(
        sent=sent,
        lost=max(0, retransmitted - doubled),
        busy=max(0, busy - no_room) / 1e6,
        round_trip=round_trip / 1e6,
    )
