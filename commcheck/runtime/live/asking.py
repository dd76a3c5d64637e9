"""Asks NCCL's RAS of a running job while the job is watched, so that its answers are there, and far enough apart, when the
watch is over."""

from __future__ import annotations

import threading
import time

from commcheck.diagnose.ras import APART, moving, undecided
from commcheck.model.plan import Place
from commcheck.model.ras import Answer
from commcheck.probe.ras import ANSWER
from commcheck.runtime import ras
from commcheck.runtime.live.find import Found
from commcheck.system import procs, sockets

SOON = 1.0
"""Seconds after the first answer until the second one, by which a job at work is mostly known as such."""
PATIENCE = 2.0
"""Seconds for an answer that is still under way when /proc has told already why the job stands still, or that it does not: RAS
waits longer for a process that is stopped."""
_LONGEST = APART + 2 * ANSWER + 6.0


class Questions:
    """The answers of a watch, asked for in a thread of its own. A context manager."""

    def __init__(self, found: tuple[Found, ...], *, apart: float = APART) -> None:
        self._found, self._apart = found, apart
        self._rounds: list[tuple[Answer, ...]] = []
        self._notes: tuple[str, ...] = ()
        self._enough, self._watched = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._ask, name="commcheck RAS", daemon=True)

    def __enter__(self) -> Questions:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()

    @property
    def moving(self) -> bool:
        """RAS has counted collectives since the first answer."""
        return moving(self._answers)

    def end(self, *, decided: bool) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
        """The first answers and the last, and why there are none. `decided`: the watch has told already how the job stands;
        else those are waited for that tell a standstill from work."""
        self._watched.set()
        if decided:
            self._enough.set()
        self._thread.join(PATIENCE if decided else _LONGEST)
        return self._answers, self._notes

    @property
    def _answers(self) -> tuple[Answer, ...]:
        rounds = list(self._rounds)
        return (*rounds[0], *rounds[-1]) if len(rounds) > 1 else tuple(a for r in rounds for a in r)

    def _ask(self) -> None:
        first = time.monotonic()
        for delay in (0.0, SOON, self._apart):
            if not self._wait(first + delay, last=delay >= self._apart):
                return
            told, self._notes = ras.answers(self._ranks())
            if told:
                first = first if self._rounds else time.monotonic()
                self._rounds.append(told)
                lost = told[-1].dead_count + told[-1].silent_count
                if lost or told[-1].failed or self.moving:
                    return

    def _wait(self, due: float, *, last: bool) -> bool:
        """Until it is to be asked again; False: not any more. After the watch only what is open is asked for."""
        while not self._enough.is_set():
            left = due - time.monotonic()
            if self._watched.is_set() and not undecided(self._answers):
                return False
            if left <= 0 or (self._watched.is_set() and not last):
                return True
            self._enough.wait(min(left, 0.1))
        return False

    def _ranks(self) -> list[ras.Rank]:
        own = procs.own_network()
        tables = {}
        ranks = []
        for one in self._found:
            network = procs.network(one.pid)
            if network is None:
                continue
            if network not in tables:
                tables[network] = sockets.table(one.pid)
            ranks.append(
                ras.Rank(
                    place=Place(host="") if network == own else Place(host=f"pid {one.pid}", pid=one.pid),
                    pid=one.pid,
                    environment=one.environment or {},
                    sockets=sockets.of_process(one.pid, tables[network]),
                )
            )
        return ranks
