"""Leave each finding as a bundle that `commcheck replay` runs again: its world is run once more, with all that is seen of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from commcheck.errors import CommcheckError, UsageError
from commcheck.explore.findings import BROKEN, Exploration, Finding
from commcheck.generate.config import scenario
from commcheck.model.diagnosis import Verdict
from commcheck.model.fault import FaultSpec
from commcheck.model.scenario import Scenario
from commcheck.model.topology import Topology
from commcheck.replay.bundle import bundle_of
from commcheck.replay.file import save
from commcheck.scenarios.run import Runner

LONGEST_NAME = 60
"""Characters of a file's name that tell the settings."""


def declared(finding: Finding, topology: Topology | None, faults: tuple[FaultSpec, ...]) -> Scenario:
    """The finding as a scenario, on the hosts that were searched."""
    verdict = Verdict.UNHEALTHY if finding.kind in BROKEN else Verdict.HEALTHY
    title = finding.title or f"{finding.kind.value}: {name(finding)}"
    made = scenario(finding.config, title, verdict, finding.cause)
    rank_faults = [f for f in faults if getattr(f, "rank", 0) < finding.config.world.size]
    return replace(made, lab=topology, fault=tuple(rank_faults))


def name(finding: Finding) -> str:
    """The settings of a finding in one line."""
    return ", ".join(f"{k}={v}" for k, v in finding.settings.items()) or finding.kind.value


def keep(
    done: Exploration,
    folder: str,
    topology: Topology | None,
    faults: tuple[FaultSpec, ...],
    say: Callable[[str], None],
) -> int:
    """Save all findings in `folder`; how many. One that cannot be run once more is said and left out. Raises UsageError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--save {folder}: {error.strerror or error}") from error
    findings = [f for group in done.groups for f in group.findings]
    kept = 0
    with Runner() as runner:
        for number, finding in enumerate(findings, 1):
            made = declared(finding, topology, faults)
            readable = re.sub(r"[^A-Za-z0-9.=]+", "-", name(finding))[:LONGEST_NAME].strip("-")
            try:
                ran = runner.make(made)
            except CommcheckError as error:
                say(f"not saved: {name(finding)}: {error}")
                continue
            bundle = bundle_of(
                ran.plan, ran.case, ran.report, origin="exploration", name=name(finding), seed=done.seed, scenario=made
            )
            save(bundle, Path(folder, f"{number:02d}-{readable}.zip"))
            kept += 1
            say(f"saved {kept} of {len(findings)} findings")
    return kept
