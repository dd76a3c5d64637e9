"""Run one scenario: build its hosts, make its faults, start its world, and compare what is said with what was expected."""

from __future__ import annotations

import time
from contextlib import ExitStack

from commcheck import api
from commcheck.lab.lab import Lab
from commcheck.lab.pool import IDLE, LabPool
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


class Runner:
    """Runs scenarios one after the other from one warm process per workload, in labs that are used again. A context
    manager; for one thread alone."""

    def __init__(self, *, idle_labs: int = IDLE) -> None:
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
        launcher = self.warm(scenario.world.workload)
        early: list[Report] = []
        begin = time.monotonic()
        with ExitStack() as stack:
            lab = stack.enter_context(self._labs.lab(scenario.lab)) if scenario.lab is not None else None
            strikes = stack.enter_context(Strikes(lab, scenario.fault))
            report = api.preflight(
                _plan(scenario, lab, stack),
                launcher=launcher,
                terms=Terms(deadline=scenario.deadline),
                try_fixes=scenario.expect.mended,
                first=early.append,
                heard=strikes.heard,
            )
        return outcome(name, scenario, report, early[0] if early else report, took=time.monotonic() - begin)


def _plan(scenario: Scenario, lab: Lab | None, stack: ExitStack) -> Plan:
    """The plan of a scenario's world; what it holds (a port, memory groups) is given back with `stack`."""
    faults: dict[int, tuple[FaultAt, ...]] = {}
    for fault in scenario.fault:
        if isinstance(fault, RankFault):
            made = FaultAt(name=kind_of(fault), phase=fault.phase, argument=fault.argument)
            faults[fault.rank] = (*faults.get(fault.rank, ()), made)
    ranks = {int(number): settings for number, settings in scenario.ranks.items()}
    return plan(scenario.world, ranks, lab, stack, faults)
