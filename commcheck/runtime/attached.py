"""A host's process that talks with the one that has had it started over its standard input and output: its end of the board.
When the input ends so does the process, whatever it is doing: the one at the other end is gone."""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Collection
from typing import Self, TypeVar

import msgspec

from commcheck import __version__
from commcheck.errors import LaunchError
from commcheck.model.base import Value
from commcheck.probe.facts import identity
from commcheck.runtime.board import Member
from commcheck.runtime.records import Message
from commcheck.runtime.speaker import put
from commcheck.runtime.spoken import AGAIN, UNHEARD, Ear, Voice

T = TypeVar("T")

DRIVER = "driver"
"""By which the one that has had the others started is known to them."""
DRIVER_RANK = -1
"""It is none of the hosts."""
HERE, RUN = "here", "run"
"""Topics: a process has come; all that are taken in, with their ranks."""
TAKEN_IN_DEADLINE = 900.0
"""Seconds to be taken in: as long as the slowest host may take to come (`--join-deadline`), and then some. Long before that the
input ends, where nobody is there."""
_BLOCK = 1 << 16


class Here(Value, frozen=True):
    """What a process says first. `version`: of its commcheck."""

    version: str
    member: Member


class Attached:
    """A context manager: one is taken in when it is entered. `number`: the launcher's for this process, -1 for none."""

    def __init__(
        self,
        run: str,
        *,
        number: int = -1,
        descriptors: tuple[int, int] = (0, 1),
        ended: Callable[[], None] | None = None,
    ) -> None:
        own = secrets.token_hex(8)
        self.rank = number
        self.members: tuple[Member, ...] = ()
        self._me = Member(id=own, rank=number, network=identity(), hostname=socket.gethostname(), begun=time.time())
        self._in, self._out = descriptors
        self._ended = ended or _leave
        self._voice, self._ear = Voice(run, own), Ear(run)
        self._said: dict[str, bytes] = {}
        self._heard = threading.Condition()
        self._speaking = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, name="commcheck-listen", daemon=True).start()
        here = self._voice.say(HERE, msgspec.json.encode(Here(version=__version__, member=self._me)))
        end, gap = time.monotonic() + TAKEN_IN_DEADLINE, UNHEARD
        self._put(here)
        while (said := self.wait(lambda: self.others(RUN, (DRIVER_RANK,)) or None, gap)) is None:
            if time.monotonic() > end:
                raise LaunchError(f"the one that started this has said nothing for {TAKEN_IN_DEADLINE:g} s")
            gap *= 2
            self._put(here)
        self.members = msgspec.json.decode(said[DRIVER_RANK], type=tuple[Member, ...])
        ranks = [m.rank for m in self.members if m.id == self._me.id]
        if not ranks:
            raise LaunchError("the others have begun without this host, which came too late")
        self.rank = ranks[0]
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def publish(self, topic: str, data: bytes) -> None:
        """Say it to the one that has had this started."""
        self._put(self._voice.say(topic, data))

    def others(self, topic: str, ranks: Collection[int]) -> dict[int, bytes]:
        """What that one has said: nobody else can be heard."""
        with self._heard:
            return {DRIVER_RANK: self._said.pop(topic)} if DRIVER_RANK in ranks and topic in self._said else {}

    def lost(self, ranks: Collection[int]) -> dict[int, str]:
        """Who would see that the driver is gone is gone too."""
        return {}

    def wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """As of a board."""
        end = time.monotonic() + seconds
        with self._heard:
            while (found := look()) is None and (left := end - time.monotonic()) > 0:
                self._heard.wait(left)
            return found

    def _listen(self) -> None:
        due = time.monotonic() + AGAIN
        while True:
            if select.select([self._in], [], [], max(0.0, due - time.monotonic()))[0]:
                try:
                    block = os.read(self._in, _BLOCK)
                except OSError:
                    block = b""
                if not block:
                    self._ended()
                    return
                for message in self._ear.hear(block):
                    self._take(message)
            if time.monotonic() >= due:
                due = time.monotonic() + AGAIN
                for torn in self._ear.stuck():
                    self._put(self._voice.ask(torn.rank, torn.stream))

    def _take(self, message: Message) -> None:
        if message.rank != DRIVER:
            return
        asked = self._voice.again(message)
        if asked is not None:
            self._put(asked)
            return
        with self._heard:
            self._said[message.stream] = message.data
            self._heard.notify_all()

    def _put(self, lines: tuple[bytes, ...]) -> None:
        with self._speaking:
            try:
                put(lines, self._out)
            except OSError:  # nobody reads any more
                self._ended()


def _leave() -> None:
    # Not sys.exit: other threads may be in the middle of a test of seconds, and what they would find nobody hears.
    os._exit(LaunchError.exit_code)
