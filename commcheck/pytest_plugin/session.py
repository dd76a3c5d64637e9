"""The marked tests of one pytest process: they share a warm process, labs, and the facts of this host."""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

import pytest
from msgspec.json import encode

from commcheck import api
from commcheck.errors import CommcheckError, UsageError
from commcheck.lab.pool import LabPool
from commcheck.model.case import HostFacts
from commcheck.model.plan import Place
from commcheck.model.trial import Suite, Trial
from commcheck.planner import local_plan
from commcheck.pytest_plugin import MARK, given
from commcheck.pytest_plugin.coverage_of import measuring
from commcheck.pytest_plugin.failure import WorldFailedError, longrepr
from commcheck.pytest_plugin.ranks import Ran, run
from commcheck.pytest_plugin.result import settle
from commcheck.runtime.launcher import Launcher
from commcheck.scenarios.needs import missing
from commcheck.scenarios.spec import Spec, joined, spec

WORKLOAD = "pytest_item"
SHARED = ("tmp_path", "tmpdir")
"""Fixtures that all ranks of a test share without being asked: files are how ranks often exchange what a test checks."""
DIRECTORIES = (*SHARED, "tmp_path_factory", "tmpdir_factory")
UNSET_OPTIONS: dict[str, Any] = {
    "capture": "no",  # a rank's output goes through pipes of its own, which also hold what a crash leaves
    "collectonly": False,
    "deselect": None,
    "dist": "no",
    "failedfirst": False,
    "keyword": "",
    "last_failed": False,
    "lf": False,
    "log_file": os.devnull,
    "looponfail": False,
    "markexpr": "",
    "newfirst": False,
    "numprocesses": None,
    "report_log": None,
    "stepwise": False,
    "strict_markers": False,  # marks of plugins that are left out
    "strict_config": False,
    "trace": False,
    "tx": [],
    "usepdb": False,
    "xmlpath": None,
}
"""Options of pytest and its plugins that choose tests, write files or start processes: all that has been done here."""
LEFT_OUT = ("terminal", "pytest_cov", "rerunfailures")
"""Plugins that the collecting process does without: what they do is done here."""


class Worlds:
    """Runs the marked tests in place of pytest. Registered as a plugin where there are any."""

    def __init__(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self.config = config
        self.specs = _specs(items)
        self.paths = tuple(dict.fromkeys(str(item.path) for item in items))
        self.labs = LabPool()
        self._launcher: Launcher | None = None
        self._suite = -1
        if not hasattr(config, "workerinput"):
            self.launcher.begin()  # a worker of pytest-xdist may get none of them

    # -- what tests share

    @property
    def launcher(self) -> Launcher:
        """The process that has imported torch and collected the tests."""
        if self._launcher is None:
            self._suite = _file(encode(self._what()))
            self._launcher = Launcher(os.environ, workload=WORKLOAD, where=self.suite)
        return self._launcher

    @property
    def suite(self) -> str:
        """An unnamed file in this process's memory."""
        return f"/proc/{os.getpid()}/fd/{self._suite}"

    def _what(self) -> Suite:
        config = self.config
        options = vars(config.option) | UNSET_OPTIONS
        # commcheck is there before that pytest is, which is none of the suite's warnings.
        options["pythonwarnings"] = [*(options.get("pythonwarnings") or ()), "ignore:Module already imported"]
        worker = getattr(config, "workerinput", {})
        return Suite(
            arguments=(
                *(f"-pno:{name}" for name in LEFT_OUT),
                *(f"--rootdir={config.rootpath}",),
                *(("-c", str(config.inipath)) if config.inipath is not None else ()),
                *self.paths,
            ),
            options=pickle.dumps({k: v for k, v in options.items() if _pickles(v)}),
            path=tuple(sys.path),
            directory=str(config.invocation_params.dir),
            worker={k: v for k, v in worker.items() if v is None or isinstance(v, str | int | float | bool)},
        )

    @cached_property
    def facts(self) -> tuple[HostFacts, ...]:
        """Of this host, read once."""
        return api.host_facts(local_plan(size=1, base={"MASTER_ADDR": "127.0.0.1"}))

    def place_facts(self, places: tuple[Place, ...], plan: Any) -> tuple[HostFacts, ...]:
        """Of a world's hosts."""
        return self.facts if all(p.here for p in places) else api.host_facts(plan)

    def restart(self) -> None:
        """End the warm process, and all ranks with it; the next test gets another one."""
        if self._launcher is not None:
            self._launcher.close()

    def pytest_unconfigure(self) -> None:
        """End the warm process and the labs."""
        if self._launcher is not None:
            self._launcher.close()
            os.close(self._suite)
            self._launcher = None
        self.labs.close()

    # -- one test

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Wait for the import of torch outside of the test's own time (this wrapper is around pytest-timeout's)."""
        if item.nodeid in self.specs:
            with suppress(CommcheckError):  # the test will say so
                self.launcher.warm()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: Any) -> None:
        """Fixtures are evaluated on the ranks; here only those that all ranks share. The body runs there too."""
        wanted = self.specs.get(item.nodeid)
        if wanted is None:
            return
        why = missing(wanted.scenario)
        if why:
            pytest.skip(why)
        here = {*SHARED, *wanted.shared}
        for name in item.fixturenames:
            if name not in here:
                item.funcargs[name] = given.NOT_HERE
        function = given.function_of(item)
        if function is None:
            item.runtest = partial(self.execute, item, wanted)
        else:
            item.runtest = partial(given.draw_here, item, function, partial(self.execute, item, wanted))

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Any:
        """Hypothesis looks at the fixtures of its tests here: `world` has no value in this process."""
        if fixturedef.argname != "world" or request._pyfuncitem.nodeid not in self.specs:  # noqa: SLF001
            return None
        fixturedef.cached_result = (given.NOT_HERE, fixturedef.cache_key(request), None)
        return given.NOT_HERE

    def execute(self, item: Any, wanted: Spec, drawn: dict[str, Any] | None = None) -> None:
        """Run the test on the ranks of a world; raises what pytest is to report."""
        try:
            ran = run(self, wanted, self._trial(item, wanted, drawn))
        except CommcheckError as error:
            raise pytest.fail.Exception(f"commcheck: {error}", pytrace=False) from None
        if self.config.getoption("capture") == "no":
            for rank in ran.ranks:
                for text, stream in ((rank.out, sys.stdout), (rank.err, sys.stderr)):
                    stream.writelines(f"[rank {rank.number}] {line}\n" for line in text.splitlines())
        settle(item, ran)

    def _trial(self, item: Any, wanted: Spec, drawn: dict[str, Any] | None) -> Trial:
        launcher = self.launcher
        launcher.begin()
        names = [n for n in dict.fromkeys((*SHARED, *wanted.shared)) if n in item.fixturenames]
        base = ""
        if any(name in item.fixturenames for name in DIRECTORIES):
            base = str(item.config._tmp_path_factory.mktemp("ranks"))  # noqa: SLF001 - pytest's own fixture does so
        return Trial(
            nodeid=item.nodeid,
            suite=self.suite,
            host=self.facts[0].hostname,
            shared={name: _pickled(item, f"the fixture {name!r}", item.funcargs[name]) for name in names},
            drawn=None if drawn is None else _pickled(item, "what Hypothesis drew", drawn),
            basetemp=base,
            coverage=measuring(),
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: pytest.CallInfo[None]) -> Any:
        """The failure of a world is shown as what its ranks saw."""
        report = yield
        error = None if call.excinfo is None else call.excinfo.value
        if isinstance(error, WorldFailedError) and report.outcome == "failed":
            report.longrepr = longrepr(error)
        if call.when == "call" and item.nodeid in self.specs:
            ran: Ran | None = getattr(item, "commcheck_ran", None)
            if ran is not None:
                if report.skipped and ran.skipped_at is not None:
                    report.longrepr = ran.skipped_at
                if self.config.getoption("capture") != "no":
                    report.sections += ran.sections(everything=report.failed)
        return report


def _specs(items: list[pytest.Item]) -> dict[str, Spec]:
    """What each test asks for. Raises pytest.UsageError with every test whose mark is wrong."""
    found, wrong = {}, []
    for item in items:
        marks = [(m.args, m.kwargs) for m in item.iter_markers(MARK)]
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        try:
            found[item.nodeid] = spec(joined(marks, parameters))
        except UsageError as error:
            wrong.append(f"{item.nodeid}: @pytest.mark.{MARK}: {error}")
    if wrong:
        raise pytest.UsageError("\n".join(wrong))
    return found


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _pickled(item: pytest.Item, what: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise UsageError(
            f"{what} cannot be sent to the ranks of {item.name} ({type(error).__name__}: {error}): only what can be pickled can"
        ) from error


def _file(data: bytes) -> int:
    fd = os.memfd_create("commcheck-suite", os.MFD_CLOEXEC)
    while data:
        data = data[os.write(fd, data) :]
    return fd
