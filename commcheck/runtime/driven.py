"""The one that has had a process started on every host, and talks with them over what started them: its end of the board. The
hosts' processes are at the other (`attached`)."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Self, TypeVar

import msgspec

from commcheck import __version__
from commcheck.errors import LaunchError
from commcheck.model.base import Value
from commcheck.runtime.attached import DRIVER, DRIVER_RANK, HERE, RUN, Here
from commcheck.runtime.board import Member
from commcheck.runtime.records import Message
from commcheck.runtime.seating import Arrival, seated
from commcheck.runtime.spoken import AGAIN, UNHEARD, Ear, Voice
from commcheck.runtime.starting import ended, left, started

T = TypeVar("T")

EXIT_SECONDS = 1.0
"""For a command that has closed its output to end."""
LEAVING = 3.0
"""Seconds for processes that have been told that it is over to end by themselves; one that says nothing may never do."""
SPARE_FILES = 64
"""Files that this process needs besides the pipes."""
_BLOCK = 1 << 16
_LINES = 3


class LauncherEndedError(LaunchError):
    """All commands have ended before it was over: what is known of the hosts tells of them, and not of the hosts. `words`: the
    last lines that they said."""

    def __init__(self, why: str, words: tuple[str, ...]) -> None:
        shown = words if len(words) <= 2 * _LINES else (*words[:_LINES], "...", *words[-_LINES:])
        super().__init__(": ".join((why, *(("; ".join(shown),) if shown else ()))))
        self.words = words


class Command(Value, frozen=True):
    """What starts the process of the host of this rank; None: those of all hosts, and what is written to it reaches each."""

    words: tuple[str, ...]
    rank: int | None = None


class _Pipe:
    """A command that runs."""

    def __init__(self, command: Command, run: str) -> None:
        self.words, self.rank = command.words, command.rank
        self.process = started(command.words, os.environ, talking=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.input.fileno(), False)
        self.ear = Ear(run)
        self.unsaid: deque[bytes] = deque()
        self.open = True
        self.refused = self._how = ""

    def why(self) -> str:
        """Why nothing comes through it any more; "" where something may."""
        if self.refused or self.open:
            return self.refused
        return ": ".join((self.how(), *self.ear.words[-1:]))

    def how(self) -> str:
        """How its command has ended; it is waited for once."""
        if not self._how:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(EXIT_SECONDS)
            code = self.process.returncode
            what = "has closed its output" if code is None else f"has ended with exit code {code}"
            self._how = f"{self.words[0]} {what}"
        return self._how


class Driven:
    """A context manager: when it is entered, the hosts have come, or have had `deadline` seconds to. `hosts`: their names, by
    rank; afterwards without those of hosts that may have come under another one. `absent`: those for which nothing is started,
    with why."""

    rank = DRIVER_RANK

    def __init__(
        self,
        commands: Sequence[Command],
        hosts: Sequence[str],
        run: str,
        deadline: float,
        say: Callable[[str], None],
        *,
        absent: Mapping[int, str] | None = None,
    ) -> None:
        self.hosts = tuple(hosts)
        self._absent = dict(absent or {})
        self.members: tuple[Member, ...] = ()
        self._commands, self._run, self._deadline, self._say = commands, run, deadline, say
        self._voice = Voice(run, DRIVER)
        self._pipes: list[_Pipe] = []
        self._of: dict[int | None, _Pipe] = {}
        self._arrivals: dict[str, Arrival] = {}
        self._refused: set[str] = set()
        self._ranks: dict[str, int] = {}
        self._said: dict[tuple[str, int], bytes] = {}
        self._awaited: dict[tuple[str, int], tuple[float, float]] = {}
        self._heard = threading.Condition()
        self._unsaid: deque[_Pipe] = deque()
        self._closing = self._over = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._pass_on, name="commcheck-pipes", daemon=True)

    def __enter__(self) -> Self:
        """Raises LaunchError where no host has come, and UsageError where too many processes have."""
        try:
            _allow_files(2 * len(self._commands) + SPARE_FILES)
            for command in self._commands:
                self._pipes.append(_Pipe(command, self._run))
                self._of[command.rank] = self._pipes[-1]
            self._thread.start()
            self._gather()
        except BaseException:
            self._close(at_once=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close(at_once=kind is not None)

    def publish(self, topic: str, data: bytes) -> None:
        """Say it to all."""
        self._put(self._pipes, self._voice.say(topic, data))

    def others(self, topic: str, ranks: Collection[int]) -> dict[int, bytes]:
        """As of a board; each is handed out once."""
        with self._heard:
            found = {rank: self._said.pop((topic, rank)) for rank in ranks if (topic, rank) in self._said}
            begin = time.monotonic()
            for rank in set(ranks) - found.keys():
                self._awaited.setdefault((topic, rank), (begin + UNHEARD, UNHEARD))
            return found

    def lost(self, ranks: Collection[int]) -> dict[int, str]:
        """Those whose pipe has been closed, or who have not come."""
        with self._heard:
            came = set(self._ranks.values())
            away = [rank for rank in ranks if not (rank in came and self._pipe(rank).open)]
        return {rank: self._absent.get(rank) or self._why(self._pipe(rank)) for rank in away}

    def check(self) -> None:
        """Raises LauncherEndedError where nobody can be heard any more."""
        if all(not pipe.open for pipe in self._pipes):
            first = self._pipes[0]
            raise LauncherEndedError(first.refused or first.how(), first.ear.words)

    def wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """As of a board."""
        end = time.monotonic() + seconds
        with self._heard:
            while (found := look()) is None and (left := end - time.monotonic()) > 0:
                self._heard.wait(left)
            return found

    def notes(self) -> tuple[str, ...]:
        """What is to be said of the channel."""
        torn = sum(pipe.ear.asked for pipe in self._pipes)
        told = (f"{torn} message(s) came torn, and were asked for again",) if torn else ()
        return (*told, *sorted({pipe.refused for pipe in self._pipes if pipe.refused}))

    # -- coming together

    def _gather(self) -> None:
        expected = [rank for rank in range(len(self.hosts)) if rank not in self._absent]

        def all_here() -> bool | None:
            self._say(f"heard of {len(self._arrivals)} of {len(self.hosts)} hosts")
            came = {one.pipe for one in self._arrivals.values()}
            never = [rank for rank in expected if rank not in came and not self._pipe(rank).open]
            return True if len(self._arrivals) + len(self._refused) + len(never) >= len(expected) else None

        self.wait(all_here, self._deadline)
        self.check()
        with self._heard:
            found = seated(self.hosts, tuple(self._arrivals.values()), expected)
            self.members, self.hosts = found.members, found.hosts
            self._ranks = {m.id: m.rank for m in self.members}
        if not self.members:
            raise LaunchError(f"no host has said anything: {self._why(self._pipes[0])}")
        self.publish(RUN, msgspec.json.encode(self.members))

    def _pipe(self, rank: int) -> _Pipe:
        """The one through which a host is heard."""
        return self._of.get(rank) or self._of[None]

    def _why(self, pipe: _Pipe) -> str:
        """Why one who is heard through it is not."""
        return pipe.why() or ": ".join((f"nothing has come within {self._deadline:g} s", *pipe.ear.words[-1:]))

    def _take(self, pipe: _Pipe, message: Message) -> None:
        asked = self._voice.again(message)
        if asked is not None:
            self._put([pipe], asked)
            return
        with self._heard:
            if message.stream == HERE:
                self._arrived(pipe, message)
            elif message.rank in self._ranks:
                key = (message.stream, self._ranks[message.rank])
                self._said[key] = message.data
                self._awaited.pop(key, None)
            self._heard.notify_all()

    def _arrived(self, pipe: _Pipe, message: Message) -> None:
        try:
            here = msgspec.json.decode(message.data, type=Here)
        except msgspec.DecodeError:
            here = None
        if here is None or here.version != __version__:
            what = f"commcheck {here.version}" if here is not None else "a commcheck of another release"
            pipe.refused = f"{what} runs there, and {__version__} here: use the same"
            if pipe.rank is None:
                self._refused.add(message.rank)
            else:
                pipe.open = False
        else:
            self._arrivals[here.member.id] = Arrival(member=here.member, pipe=pipe.rank)

    # -- the pipes

    def _put(self, pipes: Sequence[_Pipe], lines: tuple[bytes, ...]) -> None:
        with self._heard:
            for pipe in pipes:
                pipe.unsaid.extend(lines)
            self._unsaid.extend(pipes)
        os.eventfd_write(self._wake, 1)

    def _pass_on(self) -> None:
        """Read from all pipes and write to them, so that none is waited for by another."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for pipe in self._pipes:
                selector.register(pipe.output, selectors.EVENT_READ, pipe)
            due = time.monotonic() + AGAIN
            while not self._over:
                for key, _ in selector.select(max(0.0, due - time.monotonic())):
                    if key.data is None:
                        os.eventfd_read(self._wake)
                    elif key.fileobj is key.data.output:
                        self._read(key.data, selector)
                    else:
                        self._write(key.data, selector)
                while self._unsaid:
                    self._write(self._unsaid.popleft(), selector)
                if time.monotonic() >= due:
                    due = time.monotonic() + AGAIN
                    self._ask_again()

    def _ask_again(self) -> None:
        """For what stands torn, and for what does not come: all of its lines may be torn."""
        for pipe in self._pipes:
            for torn in pipe.ear.stuck():
                self._put([pipe], self._voice.ask(torn.rank, torn.stream))
        now = time.monotonic()
        with self._heard:
            late = [(*key, gap) for key, (due, gap) in self._awaited.items() if due <= now]
            ids = {m.rank: m.id for m in self.members}
            for topic, rank, gap in late:
                self._awaited[topic, rank] = (now + 2 * gap, 2 * gap)
        for topic, rank, _ in late:
            if rank in ids:
                self._put([self._pipe(rank)], self._voice.ask(ids[rank], topic))

    def _read(self, pipe: _Pipe, selector: selectors.BaseSelector) -> None:
        """Take what has come, or that no more will."""
        block = os.read(pipe.output.fileno(), _BLOCK)
        for message in pipe.ear.hear(block) if block else ():
            self._take(pipe, message)
        if not block:
            selector.unregister(pipe.output)
            with self._heard:
                pipe.open = False
                self._heard.notify_all()

    def _write(self, pipe: _Pipe, selector: selectors.BaseSelector) -> None:
        """Write what the pipe takes; where it takes no more, be told when it does."""
        if pipe.input.closed:
            return
        with self._heard:
            unsaid, closing = b"".join(pipe.unsaid), self._closing
            pipe.unsaid.clear()
        try:
            rest = unsaid[os.write(pipe.input.fileno(), unsaid) :] if unsaid else b""
        except BlockingIOError:
            rest = unsaid
        except OSError:  # nobody reads any more
            rest, closing = b"", True
        waiting = pipe.input in selector.get_map()
        if rest:
            with self._heard:
                pipe.unsaid.appendleft(rest)
            if not waiting:
                selector.register(pipe.input, selectors.EVENT_WRITE, pipe)
            return
        if waiting:
            selector.unregister(pipe.input)
        if closing:
            pipe.input.close()

    def _close(self, *, at_once: bool) -> None:
        """All that was started ends. `at_once`: it is not waited for to end by itself, which it does without input."""
        processes = [pipe.process for pipe in self._pipes]
        self._closing = True
        self._put(self._pipes, ())
        ended(*left(processes, 0.0 if at_once else LEAVING))
        self._over = True
        self._put((), ())
        if self._thread.is_alive():
            self._thread.join()
        for pipe in self._pipes:
            pipe.input.close()
            pipe.output.close()
        os.close(self._wake)


def _allow_files(number: int) -> None:
    """As many open files as that takes. Raises LaunchError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        if hard != resource.RLIM_INFINITY and hard < number:
            raise LaunchError(f"{number} open files are needed, two for each host: ulimit -n allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
