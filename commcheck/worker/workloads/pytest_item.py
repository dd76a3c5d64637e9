"""A test function of pytest, on every rank.

The process that ranks are forked from is a pytest of its own: it has collected the same test modules, and where pytest
would run its tests it forks ranks, each of which runs one test as pytest does, with all its fixtures. So asserts are
rewritten, conftest files and parametrization work, and nothing has to be sent but the test's name."""

from __future__ import annotations

import faulthandler
import json
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import pytest
from _pytest.config import Config

from commcheck.model import trial as wire
from commcheck.model.trial import Suite, Trial, Warned
from commcheck.worker import recording
from commcheck.worker.rank_world import RankWorld
from commcheck.worker.steps import Step
from commcheck.worker.trial_coverage import measured

if TYPE_CHECKING:
    from commcheck.worker.context import RankContext

LOOKS = False
FIRST: tuple[Step, ...] = ()
VERIFY: tuple[Step, ...] = ()

MEET, MEETING = "commcheck/left", "commcheck/all-left"
"""Keys of the store: how many ranks are through with the test, and whether nobody has to be waited for any more."""
PATIENCE = timedelta(days=1)
"""For the others at the end of a test. Who waits for whom is seen from outside, which also ends the waiting."""


class _Rank:
    """The plugin of the collecting process and of the ranks forked from it."""

    def __init__(self) -> None:
        self.items: dict[str, pytest.Item] = {}
        self.broken: list[str] = []
        self.loop: Callable[[], None] = lambda: None
        self.entered = False
        self.values: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.reports: list[pytest.TestReport] = []
        self.warned: Callable[[str], None] = lambda _: None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(f"{report.nodeid}: {report.longreprtext}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.entered = True
        self.loop()
        # What is written at a session's end (the cache of failures, reports, temporary folders) is the pytest process's own.
        for implementation in session.config.hook.pytest_sessionfinish.get_hookimpls():
            session.config.pluginmanager.unregister(implementation.plugin)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
        """A fixture whose value is given is not evaluated here."""
        if fixturedef.argname not in self.values:
            return None
        value = self.values[fixturedef.argname]
        fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
        return value

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and self.error is None:
            self.error = call.excinfo.value

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)

    def pytest_warning_recorded(self, warning_message: Any) -> None:
        kind = warning_message.category
        told = Warned(
            text=str(warning_message.message),
            category=f"{kind.__module__}:{kind.__qualname__}",
            filename=str(warning_message.filename),
            lineno=int(warning_message.lineno),
        )
        self.warned(msgspec.json.encode(told).decode())

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool:
        """pytest-timeout: the pytest process bounds the test, and sees all ranks when it does."""
        return True


_plugin = _Rank()


def host(serve: Callable[[], None], where: str) -> None:
    """Collect the tests of the suite in the file `where` with pytest, and call `serve` in place of running them.

    Raises RuntimeError when pytest does not come so far."""
    with open(where, "rb") as file:
        suite = wire.suite(file.read())
    os.chdir(suite.directory)
    sys.path[:] = suite.path
    recording.install()
    said = StringIO()
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(said))
        stack.enter_context(redirect_stderr(said))

        def loop() -> None:
            stack.close()
            serve()

        _plugin.loop = loop
        why = _collect(suite)
    if not _plugin.entered:
        raise RuntimeError("; ".join([why, *_plugin.broken, *said.getvalue().splitlines()[-5:]]))


def _collect(suite: Suite) -> str:
    """Run pytest up to its loop, and in it. Returns how it ended."""
    try:
        config = Config.fromdictargs(pickle.loads(suite.options), list(suite.arguments))  # noqa: S301 - our own parent's
        if suite.worker:
            config.workerinput = dict(suite.worker)  # type: ignore[attr-defined]
            config.workeroutput = {}  # type: ignore[attr-defined]
        config.pluginmanager.register(_plugin, "commcheck-rank")
        return f"pytest ended with exit code {int(config.hook.pytest_cmdline_main(config=config))}"
    except BaseException as error:  # pytest.exit and the like, too: whatever it is, the tests cannot be run
        return f"pytest ended with {type(error).__name__}: {error}"


def train(ctx: RankContext) -> None:
    """Run the test; a rank that fails in it ends here."""
    trial = wire.trial(ctx.given)
    if _plugin.entered:
        _run(ctx, trial)
        return
    # A fresh interpreter: it collects the test first.
    host(lambda: _run(ctx, trial), trial.suite)


def _run(ctx: RankContext, trial: Trial) -> None:
    item = _plugin.items.get(trial.nodeid)
    if item is None:
        why = "\n".join(_plugin.broken) or "; are the names of its parameters the same in every process?"
        raise RuntimeError(f"{trial.nodeid} was not collected by the process that ranks are forked from: {why}")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what it printed must survive a crash
    faulthandler.enable(file=2)
    _prepare(ctx, trial, item)
    _plugin.warned = lambda text: ctx.journal.noted("warning", text)
    with measured(trial.coverage), recording.recorded(ctx.journal):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    reports = _plugin.reports
    for report in reports:
        data = item.config.hook.pytest_report_to_serializable(config=item.config, report=report)
        ctx.journal.noted("report", json.dumps(data, default=str))
    if any(r.failed or (hasattr(r, "wasxfail") and r.skipped) for r in reports):
        _leave_failed(ctx, _plugin.error or RuntimeError("the test failed"))


def _prepare(ctx: RankContext, trial: Trial, item: pytest.Item) -> None:
    """Fill in what this rank does not evaluate itself."""
    _plugin.values = {"world": RankWorld(ctx, trial.host)}
    for name, value in trial.shared.items():
        _plugin.values[name] = pickle.loads(value)  # noqa: S301 - our own parent's
    if trial.basetemp:
        factory = item.config._tmp_path_factory  # type: ignore[attr-defined]  # noqa: SLF001 - as pytest-xdist's workers
        factory._given_basetemp = type(item.path)(trial.basetemp) / f"rank-{ctx.rank}"  # noqa: SLF001
        factory._basetemp = None  # noqa: SLF001
    if trial.drawn is not None:
        _draw(item, pickle.loads(trial.drawn))  # noqa: S301


def _draw(item: Any, drawn: dict[str, Any]) -> None:
    """Hypothesis has drawn in the pytest process: what is called here is the function below it, with those arguments."""
    inner = item.obj.hypothesis.inner_test
    instance = getattr(item.obj, "__self__", None)
    names = [n for n in item._fixtureinfo.argnames if n not in drawn]  # noqa: SLF001

    def call(**fixtures: Any) -> None:
        __tracebackhide__ = True
        own = {n: fixtures[n] for n in names if n in fixtures}
        inner(*(() if instance is None else (instance,)), **own, **drawn)

    item.obj = call


def _leave_failed(ctx: RankContext, error: BaseException) -> NoReturn:
    """End the rank: who waits for it at the end of the test need not do so, and who waits in a collective shall know."""
    ctx.journal.failed(ctx.phase, error)
    if ctx.store is not None:
        with suppress(RuntimeError):
            ctx.store.set(MEETING, b"1")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def leave(ctx: RankContext) -> None:
    """Wait for the others: a rank that went now would end the calls that it owes them with an error, which says less than
    that it owes them."""
    if ctx.store is None or ctx.world_size == 1:
        return
    with suppress(RuntimeError):  # the store goes with rank 0
        if ctx.store.add(MEET, 1) == ctx.world_size:
            ctx.store.set(MEETING, b"1")
        else:
            ctx.store.wait([MEETING], PATIENCE)
