"""Run one test on the ranks of a world, watched; what every rank said, and how the world ended."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from commcheck.diagnose.calls import signature
from commcheck.diagnose.match import Judgement, decided, judge
from commcheck.model import journal
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Ended
from commcheck.model.phase import Phase
from commcheck.model.trial import Trial, Warned
from commcheck.pytest_plugin.stacks import crash, own_frames, shortened
from commcheck.runtime.watch import WORLD_DEADLINE, Terms, Watch, refuse_unplaced
from commcheck.runtime.world import RunningRank, RunningWorld
from commcheck.scenarios.run import world_plan
from commcheck.scenarios.spec import Spec
from commcheck.scenarios.strike import Strikes

if TYPE_CHECKING:
    from commcheck.pytest_plugin.session import Worlds

WORKLOAD = "pytest_item"
THROUGH = "is through with the test"


class OneRank:
    """What one rank said and did. `doing`: the call that it is in, that it is stopped, or through with the test."""

    def __init__(self, rank: RunningRank, case: Case) -> None:
        record = next(r for r in case.ranks if r.slot == rank.plan.slot)
        self.number = record.name
        self.record = record
        self.stack = own_frames(record.stack)
        self.reports: list[dict[str, Any]] = []
        self.warnings: list[Warned] = []
        for event in rank.events:
            if isinstance(event, journal.Noted) and event.kind == "report":
                self.reports.append(json.loads(event.text))
            elif isinstance(event, journal.Noted) and event.kind == "warning":
                self.warnings.append(msgspec.json.decode(event.text, type=Warned))
        self.out = rank.text["stdout"].decode(errors="replace")
        printed = rank.text["stderr"].decode(errors="replace")
        self.err = shortened(printed)
        self.stack = self.stack or own_frames(crash(printed))
        stopped = record.process is not None and record.process.stopped
        self.doing = "is stopped" if stopped else _doing(rank)
        self.begun = any(isinstance(e, journal.Began) and e.phase is Phase.STEADY for e in rank.events)
        failures = [e.at for e in rank.events if isinstance(e, journal.Failed)]
        self.failed_at = min(failures, default=float("inf"))
        # A rank that was killed from outside, or killed itself, has left nothing else behind.
        self.died = record.exit is not None and not record.exit.by_us and bool(record.exit.signal or record.exit.code)

    @property
    def complete(self) -> bool:
        """It came to the end of its test, whatever that was."""
        return bool(self.reports)


class Ran:
    """A test that has run. `ended_by`: pytest-timeout's message, where that ended it."""

    def __init__(self, trial: Trial, spec: Spec, world: RunningWorld, case: Case, ended_by: str) -> None:
        self.trial = trial
        self.spec = spec
        self.case = case
        self.ended_by = ended_by
        self.ranks = [OneRank(r, case) for r in world.ranks]
        self.judgement: Judgement | None = None

    @property
    def skipped_at(self) -> tuple[str, int, str] | None:
        """Where all ranks have skipped the test, and why."""
        found = [
            tuple(report["longrepr"])
            for rank in self.ranks
            for report in rank.reports
            if report["outcome"] == "skipped" and isinstance(report["longrepr"], list | tuple)
        ]
        return found[0] if len(found) == len(self.ranks) else None

    def sections(self, *, everything: bool) -> list[tuple[str, str]]:
        """What the ranks printed, alike texts once. Logs come with the reports of ranks."""
        found: list[tuple[str, str]] = []
        streams: list[tuple[str, list[tuple[int, str]]]] = [
            ("stdout", [(r.number, r.out) for r in self.ranks]),
            ("stderr", [(r.number, r.err) for r in self.ranks]),
        ]
        for r in self.ranks:
            logs = [s for report in r.reports for s in report.get("sections", ()) if "log" in s[0]]
            streams += [
                (name.removeprefix("Captured "), [(r.number, _without_torchs_own(text))]) for name, text in logs
            ]
        alike: dict[tuple[str, str], list[int]] = {}
        for name, texts in streams:
            for number, text in texts:
                if text.strip():
                    alike.setdefault((name, text), []).append(number)
        for (name, text), numbers in alike.items():
            label = name if " " in name else f"{name} call"
            found.append((f"Captured {label} ({ranks_text(numbers)})", text))
        return found


def _without_torchs_own(log: str) -> str:
    """torch logs the exception of every call, which the test shows anyway."""
    return "".join(line for line in log.splitlines(keepends=True) if "c10d-NullHandler" not in line)


def run(worlds: Worlds, spec: Spec, trial: Trial) -> Ran:
    """Run the test. Raises UsageError and LaunchError."""
    heard: list[RunningWorld] = []
    scenario = spec.scenario
    with ExitStack() as stack:
        lab = stack.enter_context(worlds.labs.lab(scenario.lab)) if scenario.lab is not None else None
        strikes = stack.enter_context(Strikes(lab, scenario.fault))
        plan = replace(
            world_plan(scenario, lab, stack, dict(os.environ)), workload=WORKLOAD, given=msgspec.json.encode(trial)
        )
        facts = worlds.place_facts(tuple(r.place for r in plan.ranks), plan)
        ended_by = ""

        def told(world: RunningWorld) -> None:
            heard[:] = [world]
            strikes.heard(world)

        ran = None
        try:
            with worlds.launcher.start(plan) as world:
                deadline = WORLD_DEADLINE if spec.deadline is None else spec.deadline
                watch = Watch(
                    world,
                    facts,
                    lambda case: _decides(world, case, local=lab is None),
                    Terms(deadline=deadline),
                    lambda _: None,
                    told,
                )
                try:
                    case = watch.run()
                except pytest.fail.Exception as error:  # pytest-timeout: the ranks are still there to be looked at
                    ended_by = str(error)
                    case = watch.stop(Ended.DEADLINE)
                refuse_unplaced(case)
                ran = Ran(trial, spec, world, case, ended_by)
        finally:
            if ran is None or ran.ended_by:
                worlds.restart()  # it was interrupted, anywhere: the warm process may know of ranks that nobody else does
        if not all(r.complete for r in ran.ranks) or any(r.died for r in ran.ranks):
            # Of a stack the rules read the innermost frame, and that the test's own.
            told_stacks = {r.number: r.stack for r in ran.ranks}
            ran.judgement = judge(
                replace(case, ranks=tuple(replace(r, stack=told_stacks.get(r.name, ())) for r in case.ranks))
            )
        return ran


def _decides(world: RunningWorld, case: Case, *, local: bool) -> bool:
    """Whether nothing better can come. In the body of a test a rank may do what nobody can see (a download, a compiler), so
    that waiting for it is no fault: every rank must be in a call, or through with the test, or stopped."""
    alive = world.alive
    bodies = [r for r in alive if _in_body(r)]
    if not bodies:
        return decided(case)
    stopped = {r.slot for r in case.ranks if r.process is not None and r.process.stopped}
    if any(not _doing(r) and r.plan.slot not in stopped for r in alive):
        return False
    if decided(case):
        return True
    # All of them wait for each other. Without a network between them, nothing that is on its way can end that.
    return local and case.ended is Ended.STALLED


def _in_body(rank: RunningRank) -> bool:
    return any(isinstance(e, journal.Began) and e.phase in (Phase.STEADY, Phase.TEARDOWN) for e in rank.events)


def _doing(rank: RunningRank) -> str:
    """The call that a rank is in, or that it waits for the others at the end; empty where it is in code of its own."""
    open_calls: list[str] = []
    for event in rank.events:
        match event:
            case journal.Began(phase=Phase.TEARDOWN):
                open_calls.append(THROUGH)
            case journal.Issued(collective=collective) if collective.phase is Phase.STEADY:
                open_calls.append(f"waits in {signature(collective)}, call {collective.index}")
            case journal.Noted(kind="call", text=text):
                open_calls.append(f"waits in {text}")
            case journal.Returned() | journal.Noted(kind="call-returned"):
                open_calls = open_calls[:-1]
            case _:
                pass
    return open_calls[-1] if open_calls else ""
