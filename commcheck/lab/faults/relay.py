"""A piece of cable that is bad on purpose (`python -I -S relay.py SPEC`, in the switch's network).

Two TAP devices, and every frame that comes out of one goes into the other: later, twice, or behind a later one. The
kernel does what a relay of bare sockets would have to do itself (checksums, segments, VLAN tags). It is a process of its
own, so that what commcheck does meanwhile disturbs no packet. It ends with its standard input, which is bound to the
life of our process; a parent-death signal would be bound to one thread of it.
"""

import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from typing import NamedTuple

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO = 1, 2 | 4 | 8
LARGEST = 1 << 17
BURST = 64  # frames taken from one side before the other side and the clock get their turn


class Direction(NamedTuple):
    """What happens to frames of one direction. Seconds, and shares from 0 to 1."""

    delay: float
    jitter: float  # up to this much more, without overtaking
    duplicate: float
    reorder: float  # this share is held back ...
    hold: float  # ... for this long, so that later ones overtake


def tap(name: str, *, whole: bool) -> int:
    """Make a TAP device and give its handle; it lives as long as that.

    `whole`: large segments pass as they are, as between virtual hosts; else each is cut into packets of the wire."""
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(handle, TUNSETOFFLOAD, TUN_F_CSUM | (TUN_F_TSO if whole else 0))
    return handle


class Side:
    """Frames that come out of `source` and go into `target`."""

    def __init__(self, source: int, target: int, direction: Direction) -> None:
        self.source, self.target, self.direction = source, target, direction
        self.waiting: list[tuple[float, int, bytes]] = []
        self.last = 0.0
        self.count = 0

    def take(self, now: float) -> None:
        """Read what has come, and note when it has to leave."""
        how = self.direction
        for _ in range(BURST):
            try:
                frame = os.read(self.source, LARGEST)
            except BlockingIOError:
                return
            due = max(self.last, now + how.delay + (random.random() * how.jitter if how.jitter else 0.0))
            if how.reorder and random.random() < how.reorder:
                due += how.hold
            else:
                self.last = due
            for _ in range(2 if how.duplicate and random.random() < how.duplicate else 1):
                self.count += 1
                heapq.heappush(self.waiting, (due, self.count, frame))

    def give(self, now: float) -> None:
        """Write what is due."""
        while self.waiting and self.waiting[0][0] <= now:
            try:
                os.write(self.target, heapq.heappop(self.waiting)[2])
            except OSError:  # the device is down, or its queue is full: what a cable does then is to lose the frame
                continue


def main(spec: dict[str, object]) -> None:
    """Relay until standard input ends."""
    taps = [tap(str(name), whole=bool(spec["whole"])) for name in (spec["near"], spec["far"])]
    sides = [
        Side(taps[0], taps[1], Direction(**spec["out"])),  # type: ignore[arg-type]
        Side(taps[1], taps[0], Direction(**spec["in"])),  # type: ignore[arg-type]
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        due = min((side.waiting[0][0] for side in sides if side.waiting), default=None)
        # select and not epoll: its time-out has microseconds.
        ready, _, _ = select.select([0, *taps], [], [], None if due is None else max(0.0, due - time.monotonic()))
        if 0 in ready:
            return
        now = time.monotonic()
        for side in sides:
            if side.source in ready:
                side.take(now)
            side.give(time.monotonic())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
