"""What the tests between virtual hosts share: the marker, the reason for a skip, and a census of what is left."""

import sys
from pathlib import Path

import pytest

from commcheck.lab import missing_requirement

# importlib mode puts no test folder on the path, and what the tests share lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

MISSING = missing_requirement()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=MISSING))
