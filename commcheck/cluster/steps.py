"""When each host had done its part of what all were told to do, by the clock of the one who leads: no other is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from commcheck.cluster.rounds import Pair
from commcheck.cluster.values import Timed
from commcheck.model.cluster import Step
from commcheck.runtime.folder import POLL

START = "start"
"""What lies before the first step: programs start, and hosts come together."""


class Watch:
    """Notes the steps as they are made."""

    def __init__(self) -> None:
        self._name, self._round = "facts", 0
        self._made: list[Timed] = []

    @property
    def steps(self) -> tuple[Timed, ...]:
        """Those that are over, in order."""
        return tuple(self._made)

    def now(self, name: str, number: int = 0) -> None:
        """What the next steps are. `number`: of their round, from 1."""
        self._name, self._round = name, number

    @contextmanager
    def step(self, asked: Collection[int], pairs: Sequence[Pair] = ()) -> Iterator[Callable[[int], None]]:
        """A step, from what these are told to their last answer. Gives what is to be called with who has answered."""
        begun, begin = time.time(), time.monotonic()
        heard: dict[int, float] = {}
        yield lambda rank: heard.update({rank: time.monotonic() - begin})
        self._made.append(
            Timed(
                name=self._name,
                round=self._round,
                begun=begun,
                seconds=time.monotonic() - begin,
                heard=heard,
                pairs=tuple(pairs),
                silent=tuple(sorted(set(asked) - heard.keys())),
            )
        )


def told(steps: Sequence[Timed], hosts: int, begun: float, there: Collection[int]) -> tuple[Step, ...]:
    """The steps as a report has them. `begun`: when the whole began, in seconds since the epoch; `there`: who ever spoke."""
    if not steps:
        return ()
    absent = tuple(rank for rank in range(hosts) if rank not in there and rank not in steps[0].silent)
    before = Step(name=START, begin=0.0, seconds=round(max(0.0, steps[0].begun - begun), 3), silent=absent)
    return (before, *(_told(step, hosts, begun) for step in steps))


def _told(step: Timed, hosts: int, begun: float) -> Step:
    took: list[float | None] = [None] * hosts
    links: dict[int, list[int]] = {}
    for a, b in step.pairs:
        links.setdefault(a, []).append(b)
    for rank, seconds in step.heard.items():
        for end in (rank, *links.get(rank, ())):  # both ends of a link are busy until it is measured
            took[end] = max(took[end] or 0.0, round(seconds, 3))
    last = max(step.heard.values(), default=0.0)
    late = tuple(rank for rank, seconds in step.heard.items() if seconds >= last - POLL)
    waited_for = step.silent or (late if len(late) < len(step.heard) else ())
    return Step(
        name=step.name,
        round=step.round,
        begin=round(max(0.0, step.begun - begun), 3),
        seconds=round(step.seconds, 3),
        took=tuple(took),
        waited_for=tuple(dict.fromkeys(end for rank in waited_for for end in (rank, *links.get(rank, ())))),
        silent=step.silent,
    )
