"""What the processes of a launcher's ranks say to each other (`commcheck.runtime.assembly`): rank 0's says what is to be
done, and each does its part.

    suggest-ID/job-N-0.json      what each has to do next
    suggest-ID/answer-N-R.json   what a look has found
    suggest-ID/trial-N/          a rank's report, as of a preflight, for each
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from commcheck.errors import LaunchError
from commcheck.model.base import Value
from commcheck.model.case import HostFacts
from commcheck.probe.agent import Answer, Request
from commcheck.runtime.assembly import MEETING_DEADLINE, POLL, Assembly, wait_for

__all__ = ["MEETING_DEADLINE", "POLL", "Job", "Leave", "Look", "Meeting", "RunRank", "Work"]

SILENCE_DEADLINE = 240.0
"""Seconds without a new job after which rank 0's process is taken for dead: importing torch, a trial and a look at all hosts
take less each (launcher.IMPORT_DEADLINE)."""


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
    nccl_address: str = ""


class Leave(Value, frozen=True, tag="leave"):
    """It is over."""

    code: int


Job = Look | RunRank | Leave
Work = dict[str, Job]


class Meeting(Assembly):
    """One process's side."""

    def __init__(self, directory: str, rank: int, size: int, *, deadline: float = MEETING_DEADLINE) -> None:
        """Raises UsageError for a directory that cannot be made or written."""
        super().__init__(directory, rank, size, name="suggest", deadline=deadline)
        self.code = LaunchError.exit_code
        self._jobs = 0

    def farewell(self) -> None:
        """It is over, with this exit code."""
        self.post({m.id: Leave(code=self.code) for m in self.members})

    def post(self, work: Work) -> int:
        """Say what is to be done next, by member; the number of the job."""
        self._jobs += 1
        self.publish(f"job-{self._jobs}", msgspec.json.encode(work))
        return self._jobs

    def jobs(self, done: Callable[[int, Job], None]) -> int:
        """Do one's part, job by job, until it is over; the exit code. Raises LaunchError when rank 0's process is gone."""
        while True:
            self._jobs += 1
            topic = f"job-{self._jobs}"
            said = wait_for(lambda topic=topic: self.others(topic, (0,)) or None, SILENCE_DEADLINE)  # type: ignore[misc]
            if said is None:
                raise LaunchError(f"rank 0's process has said nothing for {SILENCE_DEADLINE:g} s: it was ended")
            job = msgspec.json.decode(said[0], type=Work).get(self.me.id)
            if isinstance(job, Leave):
                return job.code
            if job is not None:
                done(self._jobs, job)

    def trial(self, number: int) -> Path:
        """Where the ranks of a job leave their reports."""
        return self.folder / f"trial-{number}"

    def answer(self, number: int, found: Answer) -> None:
        """Leave what a look has found."""
        self.publish(f"answer-{number}", msgspec.json.encode(found))

    def answers(self, number: int, ids: Collection[str], deadline: float) -> dict[str, Answer]:
        """What the looks have found; one that is late has failed."""
        ranks = {m.rank: m.id for m in self.members if m.id in ids}
        there: dict[str, Answer] = {}

        def all_there() -> dict[str, Answer] | None:
            left = [rank for rank, own in ranks.items() if own not in there]
            for rank, data in self.others(f"answer-{number}", left).items():
                there[ranks[rank]] = msgspec.json.decode(data, type=Answer)
            return there if len(there) == len(ids) else None

        wait_for(all_there, deadline)
        return {i: there.get(i) or Answer(failed=f"no answer within {deadline:g} s") for i in ids}
