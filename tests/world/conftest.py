"""What the tests with real worlds share: one warm launcher per test process."""

import os
import sys
from pathlib import Path

import pytest

from commcheck.runtime.launcher import Launcher
from commcheck.runtime.live import pyspy

# importlib mode puts no test folder on the path, and what the tests share lies beside them.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("world")


@pytest.fixture(scope="session")
def launcher():
    """A launcher whose torch is imported once for all tests of this process."""
    with Launcher(os.environ) as warm:
        warm.warm()
        yield warm


@pytest.fixture
def py_spy():
    """py-spy, allowed to read processes that are not its children."""
    if pyspy.program() is None:
        pytest.skip("py-spy is not installed")
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() and scope.exists() and scope.read_text().strip() != "0":
        pytest.skip("only root may read other processes' memory here (kernel.yama.ptrace_scope)")
