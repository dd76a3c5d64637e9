"""Run one scenario: build its hosts, make its faults, start its world, and compare what is said with what was expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from commcheck import api
from commcheck.lab.lab import Lab
from commcheck.lab.pool import IDLE, LabPool
from commcheck.model.base import Value
from commcheck.model.case import Case
from commcheck.model.diagnosis import Report
from commcheck.model.fault import RankFault
from commcheck.model.plan import FaultAt, Plan
from commcheck.model.scenario import Scenario
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms
from commcheck.scenarios.needs import missing
from commcheck.scenarios.plan import BASE, plan
from commcheck.scenarios.score import Outcome, outcome, skipped
from commcheck.scenarios.strike import Strikes, kind_of


class Ran(Value, frozen=True):
    """The world of a scenario: its plan, what was seen of it, what was said before fixes were tried (`early`) and after.
    `took`: seconds for all of it."""

    plan: Plan
    case: Case
    early: Report
    report: Report
    took: float


Kept = Callable[[Outcome, Scenario, Ran], None]


class Runner:
    """Runs scenarios one after the other from one warm process per workload, in labs that are used again. A context
    manager; for one thread alone. `kept` is called with each that was run."""

    def __init__(self, *, idle_labs: int = IDLE, kept: Kept | None = None) -> None:
        self._kept = kept
        self._launchers = {"standard": Launcher(BASE)}
        self._labs = LabPool(idle=idle_labs)

    def __enter__(self) -> Runner:
        self._launchers["standard"].begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._labs.close()
        for launcher in self._launchers.values():
            launcher.close()

    def warm(self, workload: str) -> Launcher:
        """The launcher of a workload, ready: what that workload imports is not to count as time of its worlds."""
        launcher = self._launchers.setdefault(workload, Launcher(BASE, workload=workload))
        launcher.warm()
        return launcher

    def run(self, name: str, scenario: Scenario) -> Outcome:
        """One scenario. A fault that cannot be made here is a skip with its reason; LaunchError is our own failure."""
        why = missing(scenario)
        if why:
            return skipped(name, scenario, why)
        ran = self.make(scenario)
        row = outcome(name, scenario, ran.report, ran.early, took=ran.took)
        if self._kept is not None:
            self._kept(row, scenario, ran)
        return row

    def make(
        self, scenario: Scenario, *, command: tuple[str, ...] = (), progress: Callable[[str], None] = api.silent
    ) -> Ran:
        """Build the hosts, make the faults, start the world. What the scenario requires must be there."""
        launcher = self.warm(scenario.world.workload)
        early: list[Report] = []
        cases: list[Case] = []
        begin = time.monotonic()
        with ExitStack() as stack:
            lab = stack.enter_context(self._labs.lab(scenario.lab)) if scenario.lab is not None else None
            strikes = stack.enter_context(Strikes(lab, scenario.fault))
            planned = world_plan(scenario, lab, stack)
            report = api.preflight(
                planned,
                launcher=launcher,
                command=command,
                terms=Terms(deadline=scenario.deadline),
                try_fixes=scenario.expect.mended,
                progress=progress,
                first=early.append,
                keep=cases.append,
                heard=strikes.heard,
            )
        took = time.monotonic() - begin
        return Ran(plan=planned, case=cases[0], early=early[0] if early else report, report=report, took=took)


def world_plan(scenario: Scenario, lab: Lab | None, stack: ExitStack, base: Mapping[str, str] | None = None) -> Plan:
    """The plan of a scenario's world; what it holds (a port, memory groups) is given back with `stack`. `base`: what every
    rank has in its environment besides what the scenario says."""
    faults: dict[int, tuple[FaultAt, ...]] = {}
    for fault in scenario.fault:
        if isinstance(fault, RankFault):
            made = FaultAt(name=kind_of(fault), phase=fault.phase, argument=fault.argument)
            faults[fault.rank] = (*faults.get(fault.rank, ()), made)
    ranks = {int(number): settings for number, settings in scenario.ranks.items()}
    return plan(scenario.world, ranks, lab, stack, faults, BASE if base is None else base)
