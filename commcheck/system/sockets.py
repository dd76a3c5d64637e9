"""The kernel's TCP and UDP tables of a process: whose sockets, in which state, with what in their queues."""

import os
import re
import socket
import struct
from pathlib import Path

from commcheck.model.case import Socket

# include/net/tcp_states.h, named as ss(8) names them
_STATES = {
    1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT",
    7: "UNCONN", 8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING",
}  # fmt: skip
_SOCKET_LINK = re.compile(r"socket:\[(\d+)\]")


def parse_address(text: str) -> tuple[str, int]:
    """`0100007F:1F90` gives ("127.0.0.1", 8080); 32 hex digits are IPv6, and IPv4 mapped into it is given as IPv4.

    Raises ValueError on anything else."""
    host, _, port = text.partition(":")
    if len(host) == 8:
        address = socket.inet_ntop(socket.AF_INET, struct.pack("=I", int(host, 16)))
    elif len(host) == 32:
        packed = b"".join(struct.pack("=I", int(host[i : i + 8], 16)) for i in range(0, 32, 8))
        address = socket.inet_ntop(socket.AF_INET6, packed)
        address = address.removeprefix("::ffff:") if "." in address else address
    else:
        raise ValueError(f"not an address of a socket table: {text!r}")
    return address, int(port, 16)


def parse_table(text: str, protocol: str, family: str) -> dict[str, Socket]:
    """The rows of /proc/net/{tcp,tcp6,udp,udp6} by inode. Rows that are cut or foreign are left out."""
    rows: dict[str, Socket] = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        try:
            local, local_port = parse_address(fields[1])
            remote, remote_port = parse_address(fields[2])
            send, _, receive = fields[4].partition(":")
            rows[fields[9]] = Socket(
                family=family,
                protocol=protocol,
                local_address=local,
                local_port=local_port,
                remote_address=remote,
                remote_port=remote_port,
                state=_STATES.get(int(fields[3], 16), "UNKNOWN"),
                send_queue=int(send, 16),
                receive_queue=int(receive, 16),
                retransmits=int(fields[6], 16),
            )
        except (IndexError, ValueError, OSError):
            continue
    return rows


def inodes(pid: int) -> frozenset[str]:
    """The socket inodes that a process holds open; empty when it is gone or not ours to read."""
    found = set()
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return frozenset()
    for name in names:
        try:
            match = _SOCKET_LINK.match(os.readlink(f"{folder}/{name}"))
        except OSError:
            continue
        if match:
            found.add(match.group(1))
    return frozenset(found)


def table(pid: int) -> dict[str, Socket]:
    """All rows of the network namespace of a process, by inode."""
    rows: dict[str, Socket] = {}
    for protocol in ("tcp", "udp"):
        for suffix, family in (("", "ipv4"), ("6", "ipv6")):
            try:
                text = Path(f"/proc/{pid}/net/{protocol}{suffix}").read_text()
            except OSError:
                continue
            rows.update(parse_table(text, protocol, family))
    return rows


def of_process(pid: int, rows: dict[str, Socket] | None = None) -> tuple[Socket, ...]:
    """The sockets of one process. `rows`: a table that was read already, for many processes of one namespace."""
    mine = inodes(pid)
    return tuple(s for inode, s in sorted((table(pid) if rows is None else rows).items()) if inode in mine)
