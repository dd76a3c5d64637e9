"""Run one scenario: build its hosts, make its faults, start its world, and compare what is said with what was expected."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any

from msgspec.structs import replace

from commcheck import api
from commcheck.lab.faults.each import address
from commcheck.lab.lab import Lab
from commcheck.lab.memory import memory_group
from commcheck.lab.pool import IDLE, LabPool
from commcheck.model.diagnosis import Report
from commcheck.model.fault import RankFault
from commcheck.model.plan import FaultAt, Plan
from commcheck.model.scenario import Scenario
from commcheck.planner import local_plan
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms
from commcheck.scenarios.needs import faketime, missing, other_python
from commcheck.scenarios.score import Outcome, outcome, skipped
from commcheck.scenarios.strike import Strikes, kind_of
from commcheck.system.ports import held_port

LAB_PORT = 29500
"""torch's customary port. Every lab has networks of its own, so that all may use it."""
BASE = {"PATH": os.environ.get("PATH", os.defpath)}
"""What every rank of a scenario has in its environment besides what the file says: a scenario is the same everywhere."""
IMPATIENT = {"RES_OPTIONS": "timeout:1 attempts:1"}
"""Without a lab the machine's own name server is asked: torch looks up the name of every address that connects to its
store, and a server that loses one question would cost five seconds. Virtual hosts have resolvers of their own."""


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
    world, ranks = scenario.world, {int(k): v for k, v in scenario.ranks.items()}

    def filled(text: str) -> str:
        return text if lab is None else address(lab, text)

    faults: dict[int, tuple[FaultAt, ...]] = {}
    for fault in scenario.fault:
        if isinstance(fault, RankFault):
            made = FaultAt(name=kind_of(fault), phase=fault.phase, argument=fault.argument)
            faults[fault.rank] = (*faults.get(fault.rank, ()), made)
    where: dict[str, Any] = {"master_addr": "127.0.0.1", "base": BASE | IMPATIENT}
    if lab is not None:
        order = world.hosts or range(lab.topology.hosts)
        places = tuple(lab[n].place() for n in order)
        where = {"master_addr": lab[world.master].address, "base": BASE, "places": places}
    port = world.port or (LAB_PORT if lab is not None else stack.enter_context(held_port()))
    plan = local_plan(
        size=world.size,
        backend=world.backend,
        env={k: filled(v) for k, v in world.env.items()},
        unset=world.unset,
        rank_env={n: _clock(r.clock) | {k: filled(v) for k, v in r.env.items()} for n, r in ranks.items()},
        rank_unset={n: r.unset for n, r in ranks.items()},
        rank_backend={n: r.backend for n, r in ranks.items() if r.backend is not None},
        init_method={n: filled(r.init_method) for n, r in ranks.items() if r.init_method is not None},
        limits={n: {k: (v, v) for k, v in r.limits.items()} for n, r in ranks.items()},
        cgroups={n: (stack.enter_context(memory_group(r.memory)),) for n, r in ranks.items() if r.memory},
        faults=faults,
        store_seconds=world.timeout,
        workload=world.workload,
        master_port=port,
        **where,
    )
    others = {n for n, r in ranks.items() if r.other_torch}
    return replace(plan, ranks=tuple(replace(r, python=other_python()) if r.slot in others else r for r in plan.ranks))


def _clock(ahead: int) -> dict[str, str]:
    """What gives a rank another wall clock; the monotonic one, by which everybody waits, stays."""
    if not ahead:
        return {}
    return {"LD_PRELOAD": faketime(), "FAKETIME": f"{ahead:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
