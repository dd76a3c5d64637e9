"""What all tests share: who may use the whole machine, and who measures time."""

import fcntl
import signal
from contextlib import contextmanager

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair: tests of time measure it, and say so.
settings.register_profile("commcheck", deadline=None)
settings.load_profile("commcheck")


_LONGEST_NAME = 80

WHOLE = "one of several alike, of which CI runs a part: pytest --whole runs all"


def pytest_addoption(parser):
    parser.addoption("--whole", action="store_true", help="also run those of several alike that are left out otherwise")


def pytest_configure(config):
    # A shell that starts the tests in the background has them ignore interrupts, and so would all that they interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val, argname):
    """Bytes and long texts do not name a test: each test process must find the same names, also where they hold a time."""
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > _LONGEST_NAME) else None


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("whole") and not config.getoption("--whole"):
            item.add_marker(pytest.mark.skip(reason=WHOLE))


@pytest.fixture(scope="session")
def cores(tmp_path_factory):
    """`with cores(alone=True)` for what takes all cores for seconds, `with cores()` for what is held to a time: the
    test processes run beside each other, and one's world of 64 ranks must not be the other's late verdict."""
    path = tmp_path_factory.getbasetemp().parent / "commcheck-cores.lock"

    @contextmanager
    def held(*, alone=False):
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    return held
