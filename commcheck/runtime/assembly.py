"""Processes that somebody's launcher has started, one per rank, come together in a directory that all see. Rank 0's takes
them in; what they say to each other then are files in a folder of their own. Nothing goes over the network that is tried.

    here-ID.json            a process is there (removed when it leaves)
    NAME-ID/run.json        rank 0's process has taken these into its run
    NAME-ID/TOPIC-R.json    what the process of rank R says of a topic, once
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from commcheck.errors import LaunchError
from commcheck.model.base import ranks_text
from commcheck.probe.facts import identity
from commcheck.runtime.board import Member
from commcheck.runtime.folder import POLL, Folder, wait_for, whole
from commcheck.runtime.reports import check_directory

__all__ = ["MEETING_DEADLINE", "POLL", "Assembly", "Member", "wait_for"]

T = TypeVar("T")

MEETING_DEADLINE = 60.0
"""Seconds that the processes wait for each other at first: what spreads them is the start of containers and jobs."""
BEGIN_DEADLINE = 5.0
"""Seconds beyond that which another's process grants to rank 0's, whose clock began later, and which takes in who is there."""
LEAVING_DEADLINE = 5.0
"""Seconds that rank 0's process waits for the others to have read that it is over."""
OLD = 600.0
"""Seconds between the begins of two processes of one run, at most: what was there longer before was killed and left its
file behind."""


class Assembly:
    """One process's side. A context manager: nothing of the run is left in the directory afterwards.

    `name`: of what they come together for. `all_needed`: without a process of each rank there is no run; otherwise it
    begins with those that are there after `deadline`."""

    def __init__(
        self,
        directory: str,
        rank: int,
        size: int,
        *,
        name: str,
        deadline: float = MEETING_DEADLINE,
        all_needed: bool = True,
    ) -> None:
        """Raises UsageError for a directory that cannot be made or written."""
        self.directory = check_directory(directory)
        self.rank, self.size = rank, size
        self._deadline, self._all_needed, self._name = deadline, all_needed, name
        host = socket.gethostname()
        own = "".join(c if c.isalnum() else "_" for c in f"{host}-{os.getpid()}-{time.time_ns()}")
        self.me = Member(id=own, rank=rank, network=identity(), hostname=host, begun=time.time())
        self.members: tuple[Member, ...] = ()
        self.folder = self.directory / f"{name}-{own}"
        self._here = self.directory / f"here-{own}.json"

    def __enter__(self) -> Self:
        write(self._here, self.me)
        try:
            if self.rank == 0:
                self._gather()
            else:
                self._find()
        except BaseException:
            self._here.unlink(missing_ok=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._here.unlink(missing_ok=True)
        if self.rank != 0:
            return
        with contextlib.suppress(OSError):  # a disk that has gone full must not hide why this ended
            self.farewell()
            others = [self.directory / f"here-{m.id}.json" for m in self.members]
            wait_for(lambda: None if any(p.exists() for p in others) else True, LEAVING_DEADLINE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def farewell(self) -> None:
        """Rank 0's last word to the others. For those who derive from this."""

    def publish(self, topic: str, data: bytes) -> None:
        """Say something of a topic, once."""
        Folder(str(self.folder), self.rank).publish(topic, data)

    def others(self, topic: str, ranks: Collection[int]) -> dict[int, bytes]:
        """What those of `ranks` who have spoken said of a topic."""
        return Folder(str(self.folder), self.rank).others(topic, ranks)

    def lost(self, ranks: Collection[int]) -> dict[int, str]:
        """A directory does not tell who has gone."""
        return {}

    def wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """`wait_for`."""
        return wait_for(look, seconds)

    def _gather(self) -> None:
        """Rank 0's: wait for a process of every rank, and say that the run begins."""

        def all_here() -> tuple[Member, ...] | None:
            newest: dict[int, Member] = {}
            for path in self.directory.glob("here-*.json"):
                one = read(path, Member)
                if one is None or one.begun < self.me.begun - OLD:
                    continue
                if one.rank not in newest or newest[one.rank].begun < one.begun:
                    newest[one.rank] = one
            self.members = tuple(newest[r] for r in sorted(newest) if r < self.size)
            return self.members if len(self.members) == self.size else None

        if wait_for(all_here, self._deadline) is None and self._all_needed:
            missing = set(range(self.size)) - {m.rank for m in self.members}
            raise LaunchError(
                f"no process of {ranks_text(missing)} came to {self.directory} within {self._deadline:g} s: do all ranks "
                "see this directory?"
            )
        self.folder.mkdir()
        write(self.folder / "run.json", self.members)

    def _find(self) -> None:
        """Another's: wait until rank 0's process has taken it in."""

        def taken_in() -> Path | None:
            for path in self.directory.glob(f"{self._name}-*/run.json"):
                listed = read(path, tuple[Member, ...])
                if listed is not None and self.me in listed:
                    self.members = listed
                    return path.parent
            return None

        seconds = self._deadline + (0.0 if self._all_needed else BEGIN_DEADLINE)
        found = wait_for(taken_in, seconds)
        if found is None:
            raise LaunchError(f"rank 0's process has not begun in {self.directory} within {seconds:g} s")
        self.folder = found


def write(path: Path, value: object) -> None:
    """A value's file, which is there as a whole or not at all."""
    whole(path, msgspec.json.encode(value))


def read(path: Path, kind: type[T]) -> T | None:
    """A file's value; None where it is not there, or is another program's."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
