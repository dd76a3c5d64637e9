"""A small name server for one host (`python -I -S dns.py ZONE`): right or wrong, at once or late.

It answers A, AAAA and PTR over UDP, which is all that a resolver asks of it here. Each answer waits by itself, so that
two questions at once take no longer than one."""

import heapq
import json
import select
import socket
import struct
import sys
import time
from typing import Any, NamedTuple

A, PTR, AAAA = 1, 12, 28
NOERROR, NXDOMAIN = 0, 3
TYPES = {A: socket.AF_INET, AAAA: socket.AF_INET6}


class Question(NamedTuple):
    """What is asked: a name, and a type of record."""

    name: str
    kind: int
    raw: bytes  # as it came, to be repeated in the answer


def question(packet: bytes) -> Question:
    """The first question of a query."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii"))
        at += 1 + packet[at]
    return Question(".".join(labels).lower(), struct.unpack_from(">H", packet, at + 1)[0], packet[12 : at + 5])


def pointer(address: str) -> list[str]:
    """The names under which the owner of an address is asked for: an IPv4 address also in its IPv6-mapped form."""
    if ":" not in address:
        return [".".join(reversed(address.split("."))) + ".in-addr.arpa", *pointer(f"::ffff:{address}")]
    digits = socket.inet_pton(socket.AF_INET6, address).hex()
    return [".".join(reversed(digits)) + ".ip6.arpa"]


def records(names: dict[str, list[str]], asked: Question) -> list[bytes] | None:
    """The data of the answer's records; None where the name does not exist."""
    if asked.kind == PTR:
        owners = [n for n, addresses in names.items() for a in addresses if asked.name in pointer(a)]
        return [b"".join(bytes([len(part)]) + part.encode() for part in n.split(".")) + b"\0" for n in owners] or None
    found = names.get(asked.name)
    if not found:
        return None
    return [socket.inet_pton(TYPES[asked.kind], a) for a in found if (":" in a) == (asked.kind == AAAA)]


def answer(names: dict[str, list[str]], query: bytes, asked: Question) -> bytes:
    """The whole packet."""
    data = records(names, asked) if asked.kind in (A, AAAA, PTR) else []
    code = NXDOMAIN if data is None else NOERROR
    header = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(data or ()), 0, 0)
    # 0xC00C: the record's name is the question's; 1: the class IN; 0: not to be kept.
    return (
        header + asked.raw + b"".join(struct.pack(">HHHIH", 0xC00C, asked.kind, 1, 0, len(d)) + d for d in data or ())
    )


def main(zone: dict[str, Any]) -> None:
    """Answer for ever."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((zone["at"], 53))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    waiting: list[tuple[float, bytes, Any]] = []
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([server], [], [], left)[0]:
            query, sender = server.recvfrom(4096)
            asked = question(query)
            late = zone["reverse"] if asked.kind == PTR else zone["forward"]
            heapq.heappush(waiting, (time.monotonic() + late, answer(zone["names"], query, asked), sender))
        while waiting and waiting[0][0] <= time.monotonic():
            server.sendto(*heapq.heappop(waiting)[1:])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
