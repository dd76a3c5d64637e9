"""One process per rank, started by somebody's launcher, meet in a directory that all see: rank 0's says what is to be done,
and each does its part. Nothing goes over the network that is being tried.

    here-ID.json                 a process is there (removed when it leaves)
    suggest-ID/run.json          rank 0's process has taken these into its run
    suggest-ID/job-N.json        what each has to do next
    suggest-ID/answer-N-ID.json  what a look has found
    suggest-ID/trial-N/          a rank's report, as of a preflight, for each
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
from typing import TypeVar

import msgspec

from commcheck.errors import LaunchError
from commcheck.model.base import Value, ranks_text
from commcheck.model.case import HostFacts
from commcheck.probe.agent import Answer, Request
from commcheck.probe.facts import identity
from commcheck.runtime.reports import check_directory

T = TypeVar("T")

MEETING_DEADLINE = 60.0
"""Seconds that the processes wait for each other at first: what spreads them is the start of containers and jobs."""
SILENCE_DEADLINE = 240.0
"""Seconds without a new job after which rank 0's process is taken for dead: importing torch, a trial and a look at all hosts
take less each (launcher.IMPORT_DEADLINE)."""
LEAVING_DEADLINE = 5.0
"""Seconds that rank 0's process waits for the others to have read that it is over."""
POLL = 0.02
"""Seconds between two looks: files on a shared file system announce nothing."""


class Member(Value, frozen=True):
    """A process. `network`: equal for those on one host."""

    id: str
    rank: int
    network: str
    hostname: str
    begun: float


class Look(Value, frozen=True, tag="look"):
    """Look at this host."""

    request: Request


class RunRank(Value, frozen=True, tag="run"):
    """Be a rank of a world. `environment`: besides the process's own."""

    environment: dict[str, str]
    facts: HostFacts
    size: int
    backend: str
    store_seconds: float | None


class Leave(Value, frozen=True, tag="leave"):
    """It is over."""

    code: int


Job = Look | RunRank | Leave
Work = dict[str, Job]


class Meeting:
    """One process's side. A context manager: nothing of the run is left in the directory afterwards."""

    def __init__(self, directory: str, rank: int, size: int, *, deadline: float = MEETING_DEADLINE) -> None:
        """Raises UsageError for a directory that cannot be made or written."""
        self.directory = check_directory(directory)
        self.size = size
        self._deadline = deadline
        host = socket.gethostname()
        own = "".join(c if c.isalnum() else "_" for c in f"{host}-{os.getpid()}-{time.time_ns()}")
        self.me = Member(id=own, rank=rank, network=identity(), hostname=host, begun=time.time())
        self.members: tuple[Member, ...] = ()
        self.folder = self.directory / f"suggest-{own}"
        self.code = LaunchError.exit_code
        self._here = self.directory / f"here-{own}.json"
        self._jobs = 0

    def __enter__(self) -> Meeting:
        _write(self._here, self.me)
        try:
            if self.me.rank == 0:
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
        if self.me.rank != 0:
            return
        with contextlib.suppress(OSError):  # a disk that has gone full must not hide why this ended
            self.post({m.id: Leave(code=self.code) for m in self.members})
            others = [self.directory / f"here-{m.id}.json" for m in self.members]
            end = time.monotonic() + LEAVING_DEADLINE
            while any(p.exists() for p in others) and time.monotonic() < end:
                time.sleep(POLL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- coming together

    def _gather(self) -> None:
        """Rank 0's: wait for a process of every rank, and say that the run begins."""

        def all_here() -> tuple[Member, ...] | None:
            newest: dict[int, Member] = {}
            for path in self.directory.glob("here-*.json"):
                one = _read(path, Member)
                if one is not None and (one.rank not in newest or newest[one.rank].begun < one.begun):
                    newest[one.rank] = one
            self.members = tuple(newest[r] for r in sorted(newest) if r < self.size)
            return self.members if len(self.members) == self.size else None

        if _wait(all_here, self._deadline) is None:
            missing = set(range(self.size)) - {m.rank for m in self.members}
            raise LaunchError(
                f"no process of {ranks_text(missing)} came to {self.directory} within {self._deadline:g} s: do all ranks "
                "see this directory?"
            )
        self.folder.mkdir()
        _write(self.folder / "run.json", self.members)

    def _find(self) -> None:
        """Another's: wait until rank 0's process has taken it in."""

        def taken_in() -> Path | None:
            for path in self.directory.glob("suggest-*/run.json"):
                listed = _read(path, tuple[Member, ...])
                if listed is not None and self.me in listed:
                    self.members = listed
                    return path.parent
            return None

        found = _wait(taken_in, self._deadline)
        if found is None:
            raise LaunchError(f"rank 0's process has not begun in {self.directory} within {self._deadline:g} s")
        self.folder = found

    # -- work

    def post(self, work: Work) -> int:
        """Say what is to be done next, by member; the number of the job."""
        self._jobs += 1
        _write(self.folder / f"job-{self._jobs}.json", work)
        return self._jobs

    def jobs(self, done: Callable[[int, Job], None]) -> int:
        """Do one's part, job by job, until it is over; the exit code. Raises LaunchError when rank 0's process is gone."""
        while True:
            self._jobs += 1
            path = self.folder / f"job-{self._jobs}.json"
            work = _wait(lambda path=path: _read(path, Work), SILENCE_DEADLINE)  # type: ignore[misc]
            if work is None:
                raise LaunchError(f"rank 0's process has said nothing for {SILENCE_DEADLINE:g} s: it was ended")
            job = work.get(self.me.id)
            if isinstance(job, Leave):
                return job.code
            if job is not None:
                done(self._jobs, job)

    def trial(self, number: int) -> Path:
        """Where the ranks of a job leave their reports."""
        return self.folder / f"trial-{number}"

    def answer(self, number: int, found: Answer) -> None:
        """Leave what a look has found."""
        _write(self.folder / f"answer-{number}-{self.me.id}.json", found)

    def answers(self, number: int, ids: Collection[str], deadline: float) -> dict[str, Answer]:
        """What the looks have found; one that is late has failed."""

        def all_there() -> dict[str, Answer] | None:
            found = {i: _read(self.folder / f"answer-{number}-{i}.json", Answer) for i in ids}
            there.update({i: a for i, a in found.items() if a is not None})
            return there if len(there) == len(ids) else None

        there: dict[str, Answer] = {}
        _wait(all_there, deadline)
        return {i: there.get(i) or Answer(failed=f"no answer within {deadline:g} s") for i in ids}


def _write(path: Path, value: object) -> None:
    """A file that is there as a whole or not at all."""
    temporary = path.with_suffix(".writing")
    temporary.write_bytes(msgspec.json.encode(value))
    temporary.replace(path)


def _read(path: Path, kind: type[T]) -> T | None:
    """A file's value; None where it is not there, or is another program's."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _wait(look: Callable[[], T | None], seconds: float) -> T | None:
    """The first value that is there; None after that time."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None or time.monotonic() > end:
            return found
        time.sleep(POLL)
