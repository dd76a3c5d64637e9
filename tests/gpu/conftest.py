"""What the tests with a GPU share: the reason for a skip where there is none."""

import sys
from pathlib import Path

import pytest

from commcheck.scenarios.needs import NEEDS

# importlib mode puts no test folder on the path, and the benchmark that is tried here is a script.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def gpu():
    """Skips where no GPU is, or no torch that could use one."""
    if why := NEEDS["nccl"]():
        pytest.skip(why)
