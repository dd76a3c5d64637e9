"""For tests: what the fixture `world` offers, and assertions about whole configurations.

    from commcheck.testing import fails_with, forms

    def test_settings_of_our_cluster():
        forms(world_size=4, env={"GLOO_SOCKET_IFNAME": "lo"})

    def test_a_wrong_port_is_noticed():
        fails_with(per_rank={1: {"env": {"MASTER_PORT": "1"}}}, cause="port-mismatch", ranks=[1])

The arguments are those of the mark `ranks` (docs/pytest.md). Each call forms a real world and ends it. Under Hypothesis a
failure shrinks to the smallest configuration that fails for the same cause."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cache
from typing import Any, Protocol

from commcheck import api
from commcheck.errors import UsageError
from commcheck.generate.config import Config, scenario
from commcheck.lab.pool import LabPool
from commcheck.model.diagnosis import Diagnosis, Report, Role, Verdict
from commcheck.model.scenario import Scenario
from commcheck.report import to_text
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import WORLD_DEADLINE, Terms
from commcheck.scenarios.needs import missing
from commcheck.scenarios.run import world_plan
from commcheck.scenarios.spec import Spec, spec
from commcheck.scenarios.strike import Strikes


class World(Protocol):
    """What a test on a rank gets as `world`: the rank, and the world that it belongs to."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    backend: str
    host: str
    device: Any
    """The torch.device that the backend works on."""
    environment: dict[str, str]
    """What the rank was started with."""

    @property
    def store(self) -> Any:
        """A torch.distributed.Store of the test's own."""

    def barrier(self) -> None:
        """Wait until all ranks have come here."""


def forms(config: Config | None = None, **settings: Any) -> Report:
    """This world forms: every rank comes through, and every value is right. Returns the report with the proof.

    Raises AssertionError with the diagnosis, UsageError for settings that cannot be, LaunchError where this machine
    lacks what the world needs."""
    __tracebackhide__ = True
    report = observed(config, **settings)
    if report.verdict is not Verdict.HEALTHY:
        lead = _lead(report)
        raise _failure(report.verdict.value if lead is None else lead.cause)(
            f"the world does not form\n{to_text.render(report)}"
        )
    return report


def fails_with(
    config: Config | None = None,
    *,
    cause: str = "",
    symptom: str = "",
    ranks: Iterable[int] | None = None,
    **settings: Any,
) -> Report:
    """This world fails, and commcheck names that cause, that symptom, those ranks first (what is not given may be any).

    Raises AssertionError with what happened instead, and as `forms`."""
    __tracebackhide__ = True
    report = observed(config, **settings)
    lead = _lead(report)
    said = [] if lead is None else [lead.cause, lead.symptom.value]
    wrong = [
        f"{name} is {said[at]}, not {wanted}"
        for at, (name, wanted) in enumerate((("cause", cause), ("symptom", symptom)))
        if said and wanted and said[at] != wanted
    ]
    if report.verdict is not Verdict.UNHEALTHY or lead is None:
        wrong = [f"the world is {report.verdict.value}"]
    elif ranks is not None and sorted(ranks) != sorted(lead.ranks):
        wrong.append(f"the ranks are {sorted(lead.ranks)}, not {sorted(ranks)}")
    if wrong:
        raise _failure(" ".join((report.verdict.value, *said)))(f"{'; '.join(wrong)}\n{to_text.render(report)}")
    return report


def observed(config: Config | None = None, **settings: Any) -> Report:
    """The report about this world, whatever it says."""
    if config is not None and settings:
        raise UsageError("give a Config or settings, not both")
    wanted = spec(settings) if config is None else Spec(scenario=scenario(config, "a test", Verdict.HEALTHY))
    why = missing(wanted.scenario)
    if why:
        raise UsageError(why)
    return _Machine.of_this_process().report(wanted.scenario, wanted.deadline)


def close() -> None:
    """End the process that the worlds of `forms` and `fails_with` are forked from; the next call starts another. The end of
    the interpreter, or of pytest, does the same."""
    if _Machine.of_this_process.cache_info().currsize:
        _Machine.of_this_process().close()
        _Machine.of_this_process.cache_clear()


class _Machine:
    """What the assertions of a process share."""

    def __init__(self) -> None:
        self._launcher = Launcher(os.environ)
        self._labs = LabPool()

    @staticmethod
    @cache
    def of_this_process() -> _Machine:
        made = _Machine()
        atexit.register(made.close)
        return made

    def report(self, wanted: Scenario, deadline: float | None) -> Report:
        with ExitStack() as stack:
            lab = stack.enter_context(self._labs.lab(wanted.lab)) if wanted.lab is not None else None
            strikes = stack.enter_context(Strikes(lab, wanted.fault))
            return api.preflight(
                world_plan(wanted, lab, stack, dict(os.environ)),
                launcher=self._launcher,
                terms=Terms(deadline=WORLD_DEADLINE if deadline is None else deadline),
                try_fixes=False,
                heard=strikes.heard,
            )

    def close(self) -> None:
        self._launcher.close()
        self._labs.close()


def _lead(report: Report) -> Diagnosis | None:
    return next((d for d in report.diagnoses if d.role is Role.ROOT), None)


@cache
def _failure(what: str) -> type[AssertionError]:
    """A class of its own for every way to fail: Hypothesis tells failures apart by their class and place, and must not
    shrink one into another."""
    return type("WorldAssertionError", (AssertionError,), {"__doc__": what})
