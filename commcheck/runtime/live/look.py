"""Looks at the processes of a job, until something moves or has not moved for long enough."""

from __future__ import annotations

import time
from collections.abc import Callable

from commcheck.diagnose.ingest.stacks import Standing, standing
from commcheck.model.base import Value
from commcheck.model.case import Exit, Limit, ProcessState, Socket
from commcheck.runtime.live import pyspy
from commcheck.runtime.live.find import Found
from commcheck.runtime.working import DEVICE, works
from commcheck.system import process, procs, sockets

STEP = 0.5
"""Seconds between two looks."""
WATCH = 5.0
"""Seconds that nothing may move before it is called a standstill. A healthy job may sleep or wait for a disk for a while;
who does so for longer is named as what it is, with where it sleeps."""


class Look(Value, frozen=True):
    """One process at one moment. `state` None: it is gone. `stack`: the main thread's, the innermost frame first."""

    at: float
    state: ProcessState | None
    sockets: tuple[Socket, ...] = ()
    stack: tuple[str, ...] = ()
    written: int | None = None

    @property
    def standing(self) -> Standing | None:
        """Where the stack says that the rank is."""
        return standing(self.stack) if self.stack else None


class Watched(Value, frozen=True):
    """What was seen of one process from the first look to the last. `network`: its network namespace."""

    found: Found
    first: Look
    last: Look
    limits: tuple[Limit, ...]
    network: int | None
    gpu: bool
    end: Exit | None

    @property
    def gone(self) -> bool:
        """It has ended while it was looked at, or was a zombie already."""
        return self.last.state is None or self.last.state.state in ("Z", "X")

    @property
    def stopped(self) -> bool:
        """It is stopped, and was at the first look."""
        states = (self.first.state, self.last.state)
        return all(s is not None and s.stopped for s in states)

    @property
    def on_disk(self) -> bool:
        """It waits for a disk or another device, which a signal cannot end."""
        return self.last.state is not None and self.last.state.state == "D"

    @property
    def _worked(self) -> bool:
        """It did something between the looks, as the kernel counts it."""
        then, now = self.first.state, self.last.state
        if then is None or now is None:
            return False
        return works(now.cpu - then.cpu, now.faults - then.faults, self.last.at - self.first.at, spins=self.gpu)

    @property
    def wrote(self) -> bool:
        """It has written between the looks: a weak sign, since a thread may do so while the program stands."""
        then, now = self.first.written, self.last.written
        return then is not None and now is not None and now != then

    @property
    def movement(self) -> str:
        """By what it is seen that it gets on with its work; empty where nothing shows it."""
        if self.gone or self.stopped:
            return ""
        if self.first.stack and self.last.stack and self.first.stack != self.last.stack:
            return "its program is at another place than before"
        if self._worked and not self._waits:
            return "it works"
        return "its connections carry something" if self._exchanges and not self.gpu else ""

    @property
    def moves(self) -> bool | None:
        """Whether it gets on with its work; None where that cannot be told: a rank that waits for a GPU may spin."""
        if self.gone or self.stopped:
            return False
        if self.movement:
            return True
        return None if self.gpu and not self._waits else False

    @property
    def _waits(self) -> bool:
        """It was in the same call of torch.distributed all the time."""
        return bool(self.first.stack) and self.last.standing is not None and self.last.standing.waits

    @property
    def _exchanges(self) -> bool:
        """Connections came or went, or what lay in their queues has changed."""

        def queues(look: Look) -> list[tuple[int, str, int, int, int]]:
            rows = (s for s in look.sockets if s.protocol == "tcp" and s.state == "ESTAB")
            return sorted((s.local_port, s.remote_address, s.remote_port, s.send_queue, s.receive_queue) for s in rows)

        return queues(self.first) != queues(self.last)


def watch(
    found: tuple[Found, ...],
    *,
    seconds: float = WATCH,
    progress: Callable[[str], None] = lambda _: None,
    moving: Callable[[], bool] = lambda: False,
) -> tuple[tuple[Watched, ...], str]:
    """Look until a process has moved, or for `seconds`; and why stacks are missing (empty: none is). `moving`: what others
    know of that.

    Nothing is sent to the processes, and none is stopped."""
    pids = tuple(f.pid for f in found)
    progress(f"looking at {len(pids)} process(es)")
    stacks, why = pyspy.stacks(pids)
    first = _look(pids, stacks)
    begin = time.monotonic()
    while True:
        time.sleep(min(STEP, seconds))
        # Two looks may find a job that works at the same line by chance, so each of these is one.
        again = pyspy.stacks(tuple(stacks))[0] if stacks else {}
        seen = _watched(found, first, _look(pids, again))
        over = time.monotonic() - begin >= seconds
        # A rank that waits in a collective moves when the others come; what is asked is whether anybody works.
        if over or any(w.gone or w.stopped for w in seen) or any(w.moves for w in seen) or moving():
            break
        progress(f"no movement seen in {time.monotonic() - begin:.1f} of {seconds:g} s")
    return seen, why


def _look(pids: tuple[int, ...], stacks: dict[int, tuple[str, ...]]) -> dict[int, Look]:
    tables: dict[int, dict[str, Socket]] = {}
    looks = {}
    for pid in pids:
        namespace = procs.network(pid)
        if namespace is not None and namespace not in tables:
            tables[namespace] = sockets.table(pid)
        looks[pid] = Look(
            at=time.monotonic(),
            state=process.state(pid),
            sockets=() if namespace is None else sockets.of_process(pid, tables[namespace]),
            stack=stacks.get(pid, ()),
            written=procs.written(pid),
        )
    return looks


def _watched(found: tuple[Found, ...], first: dict[int, Look], last: dict[int, Look]) -> tuple[Watched, ...]:
    return tuple(
        Watched(
            found=one,
            first=first[one.pid],
            last=last[one.pid],
            limits=procs.limits(one.pid),
            network=procs.network(one.pid),
            gpu=procs.has_device(one.pid, DEVICE),
            end=procs.end_of_zombie(one.pid),
        )
        for one in found
    )
