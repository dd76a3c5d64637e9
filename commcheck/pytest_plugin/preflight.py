"""The check of the communication before the suite."""

from __future__ import annotations

import os

import pytest

from commcheck import api
from commcheck.errors import CommcheckError
from commcheck.model.diagnosis import Verdict
from commcheck.planner import local_plan
from commcheck.report import to_text
from commcheck.system.ports import held_port

UNHEALTHY = 1
"""The exit code where the check has found a fault: that of failed tests. pytest has given 2 to 5 other meanings."""


def check(config: pytest.Config, size: int) -> None:
    """Form a world of `size` ranks, and stop the session with the diagnosis where it does not work.

    What commcheck itself could not find out stops nothing."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    try:
        with held_port() as port:
            plan = local_plan(size=size, base=os.environ, env={"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
            report = api.preflight(plan, command=("commcheck", "preflight", "--world-size", str(size)))
    except CommcheckError as error:
        if reporter is not None:
            reporter.write_line(f"commcheck: the communication could not be checked: {error}", yellow=True)
        return
    if report.verdict is Verdict.UNHEALTHY:
        pytest.exit(
            f"the communication does not work, so no test was run\n\n{to_text.render(report)}", returncode=UNHEALTHY
        )
    if reporter is not None:
        reporter.write_line(f"commcheck: {report.verdict.value}, {size} ranks, {report.seconds:.1f} s")
