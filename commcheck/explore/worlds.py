"""Run configurations as real worlds, several at once. Each worker is a thread with a forking process and a lab of its own."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from commcheck import api
from commcheck.diagnose.match import judge, proven
from commcheck.errors import CommcheckError
from commcheck.explore.findings import Observation
from commcheck.generate.config import Config
from commcheck.lab.lab import Lab
from commcheck.lab.pool import LabPool
from commcheck.model.case import Case, Ended, HostFacts, Listener
from commcheck.model.diagnosis import Role, Verdict
from commcheck.model.fault import FaultSpec
from commcheck.model.plan import FaultAt, Place, Plan
from commcheck.model.topology import Topology
from commcheck.predict.model import Outlook, Prediction, predict
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms
from commcheck.scenarios.plan import BASE, plan
from commcheck.scenarios.strike import Strikes
from commcheck.system import sockets

DEADLINE = 12.0
"""Seconds after which a world is given up. What is decided is decided in two or three; a name server that does not
answer costs five for each question."""
JOIN_SECONDS = 30.0
"""Seconds for the workers to end their labs and processes."""

RankFaults = Callable[[Config], Mapping[int, tuple[FaultAt, ...]]]
"""Faults of the ranks' own program, for a configuration: what a benchmark plants."""


def no_faults(_: Config) -> Mapping[int, tuple[FaultAt, ...]]:
    """The program is in order."""
    return {}


class Worlds:
    """Worlds for configurations. A context manager; nothing is left after it.

    `lab`: the virtual hosts, on which `faults` lie as long as this is open; None: this machine. `jobs`: worlds at once."""

    def __init__(
        self,
        lab: Topology | None,
        *,
        jobs: int = 0,
        faults: tuple[FaultSpec, ...] = (),
        rank_faults: RankFaults = no_faults,
        deadline: float = DEADLINE,
    ) -> None:
        self._workers = [
            _Worker(lab, faults, rank_faults, deadline, number) for number in range(jobs or max(1, os.cpu_count() or 1))
        ]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.over.set()
            worker.asked.put(None)
        for worker in self._workers:
            worker.join(JOIN_SECONDS)

    def run(self, configs: Sequence[Config]) -> tuple[Observation, ...]:
        """One world per configuration; observations in the same order. Raises what a worker could not help."""
        answers: queue.SimpleQueue[tuple[int, Observation | BaseException]] = queue.SimpleQueue()
        left: queue.SimpleQueue[tuple[int, Config]] = queue.SimpleQueue()
        for job in enumerate(configs):
            left.put(job)
        for worker in self._workers:
            worker.asked.put((left, answers))
        made: dict[int, Observation] = {}
        while len(made) < len(configs):
            number, answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            made[number] = answer
        return tuple(made[number] for number in range(len(configs)))


_Jobs = tuple["queue.SimpleQueue[tuple[int, Config]]", "queue.SimpleQueue[tuple[int, Observation | BaseException]]"]


class _Worker(threading.Thread):
    """One thread: it takes configurations while there are some."""

    ports = threading.Lock()
    """Without a lab all worlds share this machine's ports: those with a port of their own run one after the other."""

    def __init__(
        self,
        lab: Topology | None,
        faults: tuple[FaultSpec, ...],
        rank_faults: RankFaults,
        deadline: float,
        number: int,
    ) -> None:
        # A daemon: after Ctrl-C nobody waits for a world's deadline. All that it has started dies with this process.
        super().__init__(name=f"worlds {number}", daemon=True)
        self.asked: queue.SimpleQueue[_Jobs | None] = queue.SimpleQueue()
        self.over = threading.Event()
        self._topology, self._faults, self._rank_faults = lab, faults, rank_faults
        self._terms = Terms(deadline=deadline)
        self._facts: dict[tuple[Place, str], HostFacts] = {}
        self._backends: dict[str, tuple[str, ...]] = {}
        self._lab: Lab | None = None

    def run(self) -> None:
        """Take jobs until there are no more; then end the lab and the forking process."""
        broken: BaseException | None = None
        with ExitStack() as stack:
            try:
                launcher = stack.enter_context(Launcher(BASE))
                launcher.begin()
                if self._topology is not None:
                    pool = stack.enter_context(LabPool(idle=1))
                    self._lab = stack.enter_context(pool.lab(self._topology))
                stack.enter_context(Strikes(self._lab, self._faults))
                launcher.warm()
            except Exception as error:  # told to whoever asks for a world
                broken = error
            while (jobs := self.asked.get()) is not None:
                self._work(jobs, launcher, broken)

    def _work(self, jobs: _Jobs, launcher: Launcher, broken: BaseException | None) -> None:
        left, answers = jobs
        while not self.over.is_set():
            try:
                number, config = left.get_nowait()
            except queue.Empty:
                return
            try:
                answers.put((number, broken or self._one(config, launcher)))
            except Exception as error:  # of ours: handed over to the caller's thread
                answers.put((number, error))

    def _one(self, config: Config, launcher: Launcher) -> Observation:
        with ExitStack() as stack:
            if self._lab is None and "MASTER_PORT" in config.world.env:
                stack.enter_context(self.ports)
            try:
                made = plan(
                    config.world,
                    {int(k): v for k, v in config.ranks.items()},
                    self._lab,
                    stack,
                    self._rank_faults(config),
                )
                facts = self._with_listeners(made, self._known(made))
                prediction = predict(made, facts)
                case = api.observe(made, launcher, facts, self._terms, _silent)
            except CommcheckError as error:
                return Observation(verdict=Verdict.INCONCLUSIVE, prediction=NOT_ASKED, not_run=str(error))
            self._learn(case)
            return observation(case, prediction, self._terms.deadline)

    def _learn(self, case: Case) -> None:
        """What only a rank can say of its host: which backends its torch has."""
        for facts in case.hosts:
            if facts.backends:
                self._backends[facts.host] = facts.backends

    def _known(self, made: Plan) -> tuple[HostFacts, ...]:
        """The facts of the plan's places; a place is looked at once for each name that its ranks were told."""
        keys = {r.place: (r.place, r.environment.get("MASTER_ADDR", "")) for r in made.ranks}
        if any(key not in self._facts for key in keys.values()):
            for facts, place in zip(api.host_facts(made), keys, strict=True):
                self._facts[keys[place]] = facts
        found = (self._facts[key] for key in keys.values())
        return tuple(replace(f, backends=self._backends.get(f.host, f.backends)) for f in found)

    def _with_listeners(self, made: Plan, facts: tuple[HostFacts, ...]) -> tuple[HostFacts, ...]:
        """What listens on the store's port of rank 0's host right now."""
        zero = next((r for r in made.ranks if r.environment.get("RANK") == "0"), None)
        port = zero.environment.get("MASTER_PORT", "") if zero is not None else ""
        if zero is None or not port.isdigit():
            return facts
        rows = sockets.table(zero.place.pid or os.getpid()).values()
        found = [s for s in rows if s.state == "LISTEN" and str(s.local_port) == port]
        listeners = tuple(Listener(address=s.local_address, port=s.local_port) for s in found)
        return tuple(replace(f, listeners=listeners) if f.host == zero.place.host else f for f in facts)


NOT_ASKED = Prediction(outlook=Outlook.UNKNOWN, reason="the world could not be started")


def _silent(_: object) -> None:
    """Progress of a single world, which nobody wants to see."""


def observation(case: Case, prediction: Prediction, deadline: float) -> Observation:
    """What a world's evidence comes to."""
    judged = judge(case)
    roots = [d for d in judged.diagnoses if d.role is Role.ROOT]
    lead = roots[0] if roots else None
    checks = [check.ok for rank in case.ranks for check in rank.checks]
    formed = case.ended is Ended.FINISHED and proven(case)
    return Observation(
        verdict=judged.verdict,
        prediction=prediction,
        formed=formed,
        cause=lead.cause if lead is not None else "",
        causes=tuple(d.cause for d in judged.diagnoses),
        title=lead.title if lead is not None else "",
        symptom=lead.symptom if lead is not None else None,
        ranks=lead.ranks if lead is not None else (),
        seconds=round(case.seconds, 2),
        bounded=case.ended is not Ended.DEADLINE and case.seconds < deadline,
        correct=not (case.ended is Ended.FINISHED and not all(checks) and lead is None),
        cold=any(r.started == "cold" for r in case.ranks),
        left=_left(case),
    )


def _left(case: Case) -> str:
    """Processes of a world that are still there after its end."""
    there = [r.pid for r in case.ranks if r.pid is not None and os.path.exists(f"/proc/{r.pid}")]
    return f"processes {', '.join(map(str, there))}" if there else ""
