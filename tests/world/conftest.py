"""What the tests with real worlds share: one warm launcher per test process."""

import os
from pathlib import Path

import pytest

from commcheck.runtime.launcher import Launcher


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
