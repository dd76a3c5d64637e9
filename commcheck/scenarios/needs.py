"""What a scenario may require of the machine, and why it is not there."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable

from commcheck.lab.memory import groups_root
from commcheck.lab.requirements import missing_requirement
from commcheck.model.scenario import Scenario
from commcheck.scenarios.kinds import host_kinds


def _memory_group() -> str:
    return "" if groups_root() is not None and os.geteuid() == 0 else "no memory control group can be made here"


def _gpu() -> str:
    return "" if glob.glob("/dev/nvidia[0-9]*") else "no GPU is here"


NEEDS: dict[str, Callable[[], str]] = {"gpu": _gpu, "memory-group": _memory_group}
"""By name: why it is missing, or nothing."""


def missing(scenario: Scenario) -> str:
    """Why this scenario cannot be run here, in one sentence; empty when it can."""
    if scenario.lab is not None:
        why = missing_requirement()
        if why:
            return why
    wanted = (*scenario.requires, *(["memory-group"] if any(r.memory for r in scenario.ranks.values()) else []))
    for name in dict.fromkeys(wanted):
        why = NEEDS[name]()
        if why:
            return why
    for fault in scenario.fault:
        entry = host_kinds().get(fault.__struct_config__.tag)
        why = entry.missing(fault) if entry is not None else ""
        if why:
            return why
    return ""
