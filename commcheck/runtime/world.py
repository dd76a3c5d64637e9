"""A world that runs: its ranks' pipes, what they have said so far, and how they ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

from commcheck.errors import LaunchError
from commcheck.model import journal, wire
from commcheck.model.case import Exit, Outcome
from commcheck.model.plan import Plan, RankPlan
from commcheck.system.process import oom_kills, read_oom_kills, unlink_shared

OUTPUT_KEPT = 1 << 18
"""Bytes of each stream of a rank that are kept, half from its begin and half from its end."""
LOSSES = 4
"""Lost packets of one of the ranks' own probes from which it is looked whether they decide (as the rule link-lossy names
them): a world that loses packets goes on, ever more slowly, and neither fails nor stands still."""
NCCL_SHARED = "/dev/shm/nccl-"  # noqa: S108 - the place is the library's
"""How the paths of NCCL's shared memory begin (src/misc/shmutils.cc): a rank removes it once its peers are connected."""
END_DEADLINE = 5.0
"""Seconds for killed processes to be gone."""
_STREAMS = ("stdout", "stderr", "journal", "stack")


class RunningRank:
    """One process and what came out of it. Mutable; filled by `RunningWorld.pump`."""

    def __init__(self, plan: RankPlan, started: str, why: str) -> None:
        self.plan = plan
        self.started = started
        self.why = why
        self.pid: int | None = None
        self.fds: dict[int, str] = {}
        self.text: dict[str, bytearray] = {name: bytearray() for name in _STREAMS}
        self.events: list[journal.AnyEvent] = []
        self.exit: Exit | None = None
        self.killed_by_us = False
        self.alarms = 0  # own probes of the rank that did not succeed, or lost packets
        self.tries: frozenset[int] | None = None  # whom it set out to probe; None: it has not said so yet
        self.trying: set[int] = set()  # of these, whose probe has not ended
        self.process: subprocess.Popen[bytes] | None = None
        self._oom_before: dict[str, int] = {}
        self._rest = b""

    @classmethod
    def not_started(cls, plan: RankPlan) -> RunningRank:
        """A rank that is left out on purpose."""
        return cls(plan, "not-started", "left out on purpose")

    @classmethod
    def with_pipes(cls, plan: RankPlan, started: str, why: str) -> tuple[RunningRank, tuple[int, ...]]:
        """A rank with its four pipes; the writing ends are returned for the process, and the caller closes them."""
        rank = cls(plan, started, why)
        theirs = []
        for name in _STREAMS:
            read, write = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(read, False)
            rank.fds[read] = name
            theirs.append(write)
        return rank, tuple(theirs)

    def own(self, process: subprocess.Popen[bytes]) -> None:
        """The rank is a child of this process."""
        self.process = process
        self.runs_as(process.pid)

    def runs_as(self, pid: int) -> None:
        """The rank's pid is known."""
        self.pid = pid
        self._oom_before = oom_kills(pid)
        for directory in self.plan.cgroups:
            for file in (f"{directory}/memory.oom_control", f"{directory}/memory.events"):
                count = read_oom_kills(file)
                if count is not None:
                    self._oom_before.setdefault(file, 0)

    @property
    def alive(self) -> bool:
        """Started and not known to have ended."""
        return self.started != "not-started" and self.exit is None

    @property
    def failed(self) -> bool:
        """It raised, or ended in another way than by exit code 0."""
        if any(isinstance(e, journal.Failed) for e in self.events):
            return True
        return self.exit is not None and not self.exit.by_us and (self.exit.code != 0)

    def ended(self, status: int) -> None:
        """It ended with this wait status."""
        code = os.waitstatus_to_exitcode(status)
        oom = any((read_oom_kills(f) or 0) > before for f, before in self._oom_before.items())
        if code < 0:
            self.exit = Exit(signal=-code, oom=oom and -code == signal.SIGKILL, by_us=self.killed_by_us)
        else:
            self.exit = Exit(code=code, by_us=self.killed_by_us)

    def take(self, fd: int) -> bool:
        """Read what is there; False at the end of the stream."""
        name = self.fds[fd]
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        if not data:
            return False
        if name == "journal":
            *lines, self._rest = (self._rest + data).split(b"\n")
            events = [e for e in map(journal.decode, lines) if e is not None]
            self.events.extend(events)
            for event in events:
                self._note(event)
        else:
            kept = self.text[name]
            kept += data
            if len(kept) > OUTPUT_KEPT:
                half = OUTPUT_KEPT // 2
                kept[half : len(kept) - half] = b"\n[... cut ...]\n"
        return True

    def _note(self, event: journal.AnyEvent) -> None:
        if isinstance(event, journal.Tries):
            self.tries = frozenset(event.ranks)
            self.trying = set(event.ranks)
        elif isinstance(event, journal.Probed):
            self.alarms += event.probe.outcome is not Outcome.OK or event.probe.lost >= LOSSES
            if event.probe.ends and event.probe.peer_rank is not None:
                self.trying.discard(event.probe.peer_rank)

    def close(self) -> None:
        """Close the pipes."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


class RunningWorld:
    """The ranks of one plan. A context manager: nothing of it is left after the block."""

    def __init__(self, plan: Plan, zygote: socket.socket | None) -> None:
        self.plan = plan
        self.begun = time.monotonic()
        self.begun_at = time.time()
        self.ranks: list[RunningRank] = []
        self.last_event = self.begun
        self._zygote = zygote
        self._poll = select.poll()
        self._readers: dict[int, RunningRank] = {}
        self._pidfds: dict[int, RunningRank] = {}
        if zygote is not None:
            self._poll.register(zygote, select.POLLIN)

    def __enter__(self) -> RunningWorld:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, rank: RunningRank) -> None:
        """Take a started rank in."""
        self.ranks.append(rank)
        for fd in rank.fds:
            self._poll.register(fd, select.POLLIN)
            self._readers[fd] = rank
        if rank.process is not None:
            fd = os.pidfd_open(rank.process.pid)
            self._pidfds[fd] = rank
            self._poll.register(fd, select.POLLIN)

    @property
    def seconds(self) -> float:
        """Seconds since the world was started."""
        return time.monotonic() - self.begun

    @property
    def alive(self) -> list[RunningRank]:
        """The ranks that still run."""
        return [r for r in self.ranks if r.alive]

    def pump(self, until: float) -> bool:
        """Read what ranks say until something was said or the monotonic time `until`; True if something was.

        Raises LaunchError when the process that ranks are forked from is gone."""
        left = max(0.0, until - time.monotonic())
        seen = False
        for fd, _ in self._poll.poll(left * 1000):
            if self._zygote is not None and fd == self._zygote.fileno():
                self._hear(self._zygote)
                seen = True
            elif fd in self._pidfds:
                self._reap(fd)
                seen = True
            elif fd in self._readers:
                seen = self._read(fd) or seen
        if seen:
            self.last_event = time.monotonic()
        return seen

    def _read(self, fd: int) -> bool:
        rank = self._readers[fd]
        if rank.take(fd):
            # Warnings that repeat while a rank waits are no progress, and an answer to our own question is none either.
            return rank.fds[fd] == "journal"
        self._forget(fd)
        return False

    def _forget(self, fd: int) -> None:
        self._poll.unregister(fd)
        rank = self._readers.pop(fd)
        del rank.fds[fd]
        os.close(fd)

    def _reap(self, fd: int) -> None:
        rank = self._pidfds.pop(fd)
        self._poll.unregister(fd)
        os.close(fd)
        assert rank.process is not None
        code = rank.process.wait()
        rank.ended(-code if code < 0 else code << 8)

    def _hear(self, zygote: socket.socket) -> None:
        data = zygote.recv(1 << 16)
        if not data:
            raise LaunchError("the process that ranks are forked from has ended unexpectedly")
        message = wire.message(data)
        if isinstance(message, wire.Forked):
            rank = next(r for r in self.ranks if r.plan.slot == message.slot and r.started == "warm")
            rank.runs_as(message.pid)
        elif isinstance(message, wire.Reaped):
            for rank in self.ranks:
                if rank.pid == message.pid and rank.alive:
                    rank.ended(message.status)
        elif isinstance(message, wire.Refused):
            raise LaunchError(f"rank in slot {message.slot} could not be forked: {message.why}")

    def signal(self, rank: RunningRank, number: int) -> None:
        """Send a signal to a rank. The parent of a pid does it, so that a reused pid is never hit."""
        if not rank.alive or rank.pid is None:
            return
        if rank.process is not None:
            rank.process.send_signal(number)
        elif self._zygote is not None:
            self._zygote.send(f"signal {rank.pid} {number}".encode())

    def kill(self) -> None:
        """End all ranks and wait for their end. Evidence is to be taken before."""
        deadline = time.monotonic() + END_DEADLINE
        signalled: set[int] = set()
        while self.alive and time.monotonic() < deadline:
            for rank in self.alive:  # one that was about to be forked has no pid yet
                rank.killed_by_us = True
                if rank.pid is not None and rank.plan.slot not in signalled:
                    signalled.add(rank.plan.slot)
                    if "nccl" in rank.plan.backend:
                        unlink_shared(rank.pid, NCCL_SHARED)
                    self.signal(rank, signal.SIGKILL)
            self.pump(deadline)
        for _ in self._drained():
            pass

    def _drained(self) -> Iterator[bool]:
        """Read what is left in the pipes of ended ranks."""
        while any(r.fds for r in self.ranks if not r.alive):
            before = sum(len(r.fds) for r in self.ranks)
            read = self.pump(time.monotonic() + 0.05)
            yield read
            if not read and sum(len(r.fds) for r in self.ranks) == before:
                return

    def drain(self) -> None:
        """Read the last words of ranks that have ended."""
        for _ in self._drained():
            pass

    def close(self) -> None:
        """Kill what runs, close what is open."""
        with contextlib.suppress(LaunchError):
            self.kill()
        for fd in list(self._pidfds):
            self._poll.unregister(fd)
            os.close(fd)
        self._pidfds.clear()
        for rank in self.ranks:
            rank.close()
        self._readers.clear()
