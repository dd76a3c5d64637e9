"""The pytest plugin: tests that run on every rank of a real world (see docs/pytest.md).

What may not be here: anything that a test session without such tests would pay for. Every pytest of an environment in which
commcheck is installed loads this module, so it imports nothing of commcheck's, torch never, and the rest of the package
when the first marked test is there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from commcheck.model.case import HostFacts
    from commcheck.testing import World

MARK = "ranks"
ON_A_RANK = "commcheck-rank"
"""The name of the plugin that only the processes of ranks have (commcheck/worker/workloads/pytest_item.py)."""
_SESSION = "commcheck-session"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("commcheck", "commcheck: tests on the ranks of a real world")
    group.addoption(
        "--commcheck-preflight",
        dest="commcheck_preflight",
        nargs="?",
        const=2,
        type=int,
        metavar="WORLD_SIZE",
        help="check that a world of this many ranks (2) can communicate here, and stop with the diagnosis if not",
    )
    parser.addini(
        "commcheck_preflight",
        "world size of the check before the tests, as --commcheck-preflight; 0: none",
        default="0",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(world_size, *, backend, env, unset, per_rank, ranks_per_host, lab, fault, timeout, group_timeout, shared): "
        "run the test on every rank of a real world (commcheck)",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Check the communication first where that is asked for: once, not in each process of pytest-xdist."""
    config = session.config
    asked = config.getoption("commcheck_preflight")
    size = int(config.getini("commcheck_preflight")) if asked is None else asked
    here = not hasattr(config, "workerinput") and not config.pluginmanager.has_plugin(ON_A_RANK)
    if size and here and not config.getoption("collectonly", False):
        from commcheck.pytest_plugin.preflight import check

        check(config, size)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get ready to run the marked tests, if there are any."""
    config = session.config
    if config.getoption("collectonly", False) or config.pluginmanager.has_plugin(ON_A_RANK):
        return
    marked = [item for item in session.items if item.get_closest_marker(MARK) is not None]
    if marked:
        from commcheck.pytest_plugin.session import Worlds

        config.pluginmanager.register(Worlds(config, marked), _SESSION)


@pytest.fixture(scope="session")
def world() -> World:
    """The rank that the test runs on, and its world: rank, world_size, device, barrier(), ... (see docs/pytest.md)."""
    pytest.fail(
        f"the fixture 'world' is there on ranks alone: mark the test with @pytest.mark.{MARK}(2)", pytrace=False
    )


@pytest.fixture(scope="session")
def host_facts() -> HostFacts:
    """What is known of this host: interfaces, addresses, routes, names, limits, versions. On a rank: of the rank's host."""
    from commcheck.probe.agent import Request, look

    found = look(Request(parent=0, facts=True)).facts
    assert found is not None
    return found


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the assertions of commcheck.testing have started."""
    testing = sys.modules.get("commcheck.testing")
    if testing is not None:
        testing.close()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse what would otherwise run without a world: a mark that came after the collection."""
    config = item.config
    if item.get_closest_marker(MARK) is None or config.pluginmanager.has_plugin(ON_A_RANK):
        return
    session: Any = config.pluginmanager.get_plugin(_SESSION)
    if session is None or item.nodeid not in session.specs:
        pytest.fail(f"the mark {MARK} of {item.nodeid} was added after the tests were collected", pytrace=False)
