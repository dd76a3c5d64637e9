"""Make the faults of a scenario when they are due: before the world starts, seconds later, or with a phase of a rank."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Self

from commcheck.errors import LaunchError
from commcheck.lab.lab import Lab
from commcheck.model import journal
from commcheck.model.fault import FaultSpec, RankFault, When
from commcheck.runtime.world import RunningWorld
from commcheck.scenarios.kinds import host_kinds

THREAD_SECONDS = 30.0
"""The longest that making and undoing timed faults may take at the end of a scenario."""


class Strikes:
    """The faults of hosts and network of one scenario. A context manager: leaving takes all of them back.

    Those without a time are made on entering. `heard` is called whenever the watch has heard from the ranks; it arms the
    timed ones for each new world (the worlds in which fixes are tried meet the same faults at the same time)."""

    def __init__(self, lab: Lab | None, faults: tuple[FaultSpec, ...]) -> None:
        self._lab = lab
        made = [f for f in faults if not isinstance(f, RankFault)]
        self._at_once = [f for f in made if f.when is None]
        self._timed = [(f, f.when) for f in made if f.when is not None]
        self._stack = ExitStack()
        self._world: RunningWorld | None = None
        self._schedule: _Schedule | None = None
        self._armed: set[int] = set()
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        try:
            for fault in self._at_once:
                self._stack.enter_context(self.make(fault))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_schedule()
        self._stack.close()
        if kind is None and self.failed:
            raise LaunchError("; ".join(self.failed))

    def heard(self, world: RunningWorld) -> None:
        """The ranks of `world` may have come further: arm what that makes due."""
        if not self._timed:
            return
        if world is not self._world:
            self._end_schedule()
            self._world = world
            self._armed = set()
            self._schedule = _Schedule(self)
        assert self._schedule is not None
        for number, (fault, when) in enumerate(self._timed):
            if number not in self._armed and _begun(world, when):
                self._armed.add(number)
                self._schedule.at(time.monotonic() + when.after, fault, when)

    def make(self, fault: FaultSpec) -> AbstractContextManager[object]:
        """The fault as a context manager, not yet entered."""
        assert self._lab is not None
        return host_kinds()[kind_of(fault)].make(self._lab, fault)

    def _end_schedule(self) -> None:
        if self._schedule is not None:
            self._schedule.end()
            self._schedule = None


class _Schedule:
    """A thread that makes and takes back the timed faults of one world, so that the watch never waits for them."""

    def __init__(self, strikes: Strikes) -> None:
        self._strikes = strikes
        self._due: list[tuple[float, FaultSpec, When]] = []
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="timed faults", daemon=True)
        self._thread.start()

    def at(self, moment: float, fault: FaultSpec, when: When) -> None:
        """Make `fault` at that monotonic time."""
        with self._changed:
            self._due.append((moment, fault, when))
            self._changed.notify()

    def end(self) -> None:
        """Make no more, take back what was made, and wait for that."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(THREAD_SECONDS)

    def _run(self) -> None:
        made: list[tuple[float | None, AbstractContextManager[Any]]] = []
        try:
            while True:
                with self._changed:
                    moments = [m for m, _, _ in self._due] + [end for end, _ in made if end is not None]
                    if not self._over:
                        self._changed.wait(max(0.0, min(moments) - time.monotonic()) if moments else None)
                    if self._over:
                        return
                    now = time.monotonic()
                    due = [item for item in self._due if item[0] <= now]
                    self._due = [item for item in self._due if item[0] > now]
                for _, fault, when in due:
                    manager = self._strikes.make(fault)
                    manager.__enter__()
                    made.append((None if when.lasts is None else time.monotonic() + when.lasts, manager))
                for end, manager in [item for item in made if item[0] is not None and item[0] <= now]:
                    made.remove((end, manager))
                    manager.__exit__(None, None, None)
        except Exception as error:  # a thread's error would be seen by nobody: the scenario's end tells it
            self._strikes.failed.append(f"a timed fault could not be made: {error}")
        finally:
            for _, manager in reversed(made):
                manager.__exit__(None, None, None)


def kind_of(fault: FaultSpec) -> str:
    """The name of a fault's kind."""
    return str(fault.__struct_config__.tag)


def _begun(world: RunningWorld, when: When) -> bool:
    """The phase that a fault waits for has begun on its rank, or on any."""
    if not when.phase:
        return True
    ranks = [r for r in world.ranks if when.rank is None or r.plan.slot == when.rank]
    return any(isinstance(e, journal.Began) and e.phase == when.phase for r in ranks for e in r.events)
