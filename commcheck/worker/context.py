"""What the phases of one rank share."""

from __future__ import annotations

import importlib
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

from commcheck.model.phase import Phase

if TYPE_CHECKING:
    import torch
    import torch.distributed as dist

    from commcheck.model.plan import RankPlan
    from commcheck.worker.journal import Journal
    from commcheck.worker.steps import Step


class Fault:
    """A fault made on purpose inside a rank. The base does nothing; a fault overrides what it disturbs."""

    def __init__(self, phase: str, argument: str) -> None:
        self.phase = phase
        self.argument = argument

    def strike(self, phase: Phase) -> None:
        """Called at the begin of every phase."""
        if phase == self.phase:
            self.act()

    def act(self) -> None:
        """What happens at the begin of the fault's own phase."""

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """The steps that are issued in place of `step`."""
        return (step,)


class RankContext:
    """Mutable state of a rank while it runs through its phases."""

    def __init__(
        self, plan: RankPlan, workload: str, journal: Journal, faults: tuple[Fault, ...], given: bytes = b""
    ) -> None:
        self.plan = plan
        self.workload: ModuleType = importlib.import_module(f"commcheck.worker.workloads.{workload}")
        self.journal = journal
        self.faults = faults
        self.given = given
        self.rank = -1
        self.world_size = -1
        self.store: dist.Store | None = None
        self.device: torch.device | None = None
        self.phase = Phase.RESOLVE
        self.data_address = ""
        self.steps = 0  # of the workload, that this rank has come to
        self.job: Any = None  # what a workload keeps between its `prepare` and its `train`
        self.background: list[threading.Thread] = []  # look-ups that go on beside the phases; waited for at the end

    def alter(self, step: Step) -> tuple[Step, ...]:
        """`step` as this rank's faults make it."""
        steps: tuple[Step, ...] = (step,)
        for fault in self.faults:
            steps = tuple(out for s in steps for out in fault.alter(s, self.phase))
        return steps
