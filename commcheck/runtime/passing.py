"""Run a command as if nobody stood between it and its caller, and keep the last of what it prints.

- Standard input is the caller's own. Standard output and error go through us byte by byte: through a pipe, or, where the
  caller's is a terminal, through a pseudo-terminal without output processing, so that the command sees a terminal and
  the outer one does what it always does.
- Signals that we get go on to the command, once. Where the caller's input is a terminal the command stays in our process
  group, and what the terminal sends to the group is not sent again; else it has a group of its own.
- If we are killed (SIGKILL), the kernel sends SIGTERM to the command: its output has no reader any more, and a launcher
  that gets SIGTERM ends its ranks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable

from commcheck.system import signals
from commcheck.system.process import die_with_parent

CHUNK = 1 << 18
"""Bytes that are read at once at most."""
PIPE = 1 << 20
"""Bytes that are asked for as the size of the pipes."""
HEAD = 1 << 18
"""Bytes of a stream's beginning that are kept."""
TAIL = 8 << 20
"""Bytes of a stream's end that are kept."""
DRAIN = 1.0
"""Seconds without output, after the command has ended, until its streams are left to those of its children that still
hold them."""
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals by which somebody ends a job on purpose."""
_WATCHED = (*FORWARDED, signal.SIGCHLD, signal.SIGWINCH)
_F_SETPIPE_SZ = 1031  # linux/fcntl.h


class Stream:
    """One of the command's streams: passes it on, and keeps its beginning and its end."""

    def __init__(self, name: str, source: int, target: int) -> None:
        self.name = name
        self.last = time.monotonic()
        self.writing = False
        self.total = 0
        self._source, self._target = source, target
        self._head = bytearray()
        # What is read lies in the ring from then on: it is written from there, and copied nowhere.
        self._ring = memoryview(bytearray(TAIL))
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=self._pass, name=f"commcheck {name}", daemon=True)

    def _pass(self) -> None:
        while True:
            at = self.total % TAIL
            room = self._ring[at : at + CHUNK]
            try:
                count = os.readv(self._source, (room,))
            except OSError:  # EIO: the last holder of a pseudo-terminal has gone
                count = 0
            if not count:
                break
            self.writing = True
            self.last = time.monotonic()
            if not self._write(room[:count]):
                break
            with self._lock:
                if len(self._head) < HEAD:
                    self._head += room[: min(count, HEAD - len(self._head))]
                self.total += count
            self.writing = False
        self.writing = False
        os.close(self._source)  # where our reader has gone away, the command learns it by SIGPIPE, as without us

    def _write(self, view: memoryview) -> bool:
        while view:
            try:
                view = view[os.write(self._target, view) :]
            except BlockingIOError:  # whoever shares it with us made it non-blocking
                select.select((), (self._target,), (), 1.0)
            except OSError:
                return False
        return True

    def sources(self) -> list[tuple[str, bytes]]:
        """What was kept, by name: one text, or two where there is a gap between them."""
        with self._lock:
            if not self.total:
                return []
            at = self.total % TAIL
            if self.total <= TAIL - CHUNK:
                return [(self.name, bytes(self._ring[:at]))]
            # The oldest part is where the next is being read to.
            old = bytes(self._ring[at + CHUNK :]) if self.total >= TAIL else b""
            tail = old + bytes(self._ring[max(0, at + CHUNK - TAIL) : at])
            head = bytes(self._head)
        return [(self.name, head), (f"{self.name} (its last {len(tail) >> 20} MB)", tail.partition(b"\n")[2])]


class Command:
    """The running command. Made and used by the main thread, which has all of the process's signals."""

    def __init__(self, arguments: list[str]) -> None:
        """Start it. Raises OSError where it cannot be started."""
        self._before = before = signals.block(_WATCHED)
        self._signals = signals.descriptor(_WATCHED)
        self.ended_by: int | None = None  # the signal by which somebody asked for the end
        self._pty: int | None = None
        self._slave: int | None = None
        self.shares_group = os.isatty(0)
        outputs = [self._output(fd) for fd in (1, 2)]
        parent = os.getpid()

        def prepare() -> None:
            die_with_parent(parent, signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

        try:
            # No thread of ours runs yet, so that what is done between fork and exec is safe.
            self._process = subprocess.Popen(
                arguments,
                stdout=outputs[0][1],
                stderr=outputs[1][1],
                preexec_fn=prepare,  # noqa: PLW1509
                process_group=None if self.shares_group else 0,
            )
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
        finally:
            for write in {write for _, write in outputs}:
                os.close(write)
        self.pid = self._process.pid
        names = ("stdout", "stderr")
        self.streams = [
            Stream(name, read, fd)
            for name, fd, (read, _) in zip(names, (1, 2), outputs, strict=True)
            if read is not None
        ]
        for stream in self.streams:
            stream.thread.start()

    def _output(self, fd: int) -> tuple[int | None, int]:
        """Where we read what the command writes to `fd`, and what it gets. Two streams to a terminal are one."""
        if not os.isatty(fd):
            read, write = os.pipe()
            with contextlib.suppress(OSError):  # the user's pipes may be bounded (fs.pipe-user-pages-soft)
                fcntl.fcntl(read, _F_SETPIPE_SZ, PIPE)
            return read, write
        if self._slave is not None:
            return None, self._slave
        self._pty, self._slave = os.openpty()
        settings = termios.tcgetattr(fd)
        settings[1] &= ~termios.OPOST
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        self._resize(fd)
        return os.dup(self._pty), self._slave

    def _resize(self, fd: int) -> None:
        """Give the pseudo-terminal the size of the outer one."""
        if self._pty is not None:
            try:
                size = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
                fcntl.ioctl(self._pty, termios.TIOCSWINSZ, size)
            except OSError:
                pass  # the terminal has gone

    def wait(self, every: float, tick: Callable[[], None]) -> int:
        """Pass signals on until the command ends, calling `tick` every so many seconds. Returns its exit code, which is
        128 + the signal's number where one ended it, as a shell has it."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        due = time.monotonic() + every
        while True:
            poll.poll(max(0.0, due - time.monotonic()) * 1000)
            for number, code in signals.read(self._signals):
                self._signal(number, code)
            status = self._process.poll()
            if status is not None:
                self._drain()
                return status if status >= 0 else 128 - status
            if time.monotonic() >= due:
                tick()
                due = time.monotonic() + every

    def _signal(self, number: int, code: int) -> None:
        if number == signal.SIGCHLD:
            return
        if number == signal.SIGWINCH:
            self._resize(1 if os.isatty(1) else 2)
        elif number in ENDING:
            self.ended_by = number
        if not (self.shares_group and code == signals.SI_KERNEL and number != signal.SIGWINCH):
            self._process.send_signal(number)

    def _drain(self) -> None:
        """What the command has written still comes through; its left-over children are not waited for."""
        ended = time.monotonic()
        while any(s.thread.is_alive() for s in self.streams):
            newest = max(ended, *(s.last for s in self.streams))
            # Our reader may be slow: the command itself would have waited for it.
            if not any(s.writing for s in self.streams) and time.monotonic() - newest > DRAIN:
                break
            for stream in self.streams:
                stream.thread.join(0.02)

    def close(self) -> None:
        """Take signals as any other program again. Those that came for the command are done with."""
        signals.read(self._signals)
        os.close(self._signals)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    @property
    def last_output(self) -> float:
        """When the command last wrote something, as a monotonic time; its start where it has not."""
        return max((s.last for s in self.streams), default=0.0)

    def sources(self) -> list[tuple[str, bytes]]:
        """What it printed, as far as it was kept."""
        return [source for stream in self.streams for source in stream.sources()]
