"""NCCL's own worlds: the scenarios of scenarios/nccl, and the script that prints everything in one run.

Without a GPU they are skipped with that reason, and what can be said of the script without one is tried."""

import subprocess
import sys
import time
from pathlib import Path

import gpu as script
import pytest

from commcheck.scenarios.load import folder, load_all
from commcheck.scenarios.needs import NEEDS, missing
from commcheck.scenarios.run import Runner

ROOT = Path(__file__).parents[2]
EVERY = [f for f in load_all(folder(str(ROOT / "scenarios"))) if f.name.startswith("nccl/")]
HERE = not NEEDS["nccl"]()


@pytest.fixture(scope="module")
def runner():
    with Runner(idle_labs=0) as warm:
        yield warm


@pytest.mark.timeout(300)
@pytest.mark.parametrize("found", EVERY, ids=[f.name for f in EVERY])
def test_a_scenario_is_as_expected(found, runner, cores):
    if why := missing(found.scenario):
        pytest.skip(why)
    with cores(alone=True):
        row = runner.run(found.name, found.scenario)
    assert not row.problems, row


@pytest.mark.skipif(HERE, reason="a GPU is here")
def test_without_a_gpu_every_scenario_says_what_is_missing():
    assert EVERY
    assert all("GPU" in missing(f.scenario) or "CUDA" in missing(f.scenario) for f in EVERY)


@pytest.mark.timeout(700)
def test_the_table_in_one_run(gpu, cores):
    with cores(alone=True):
        done = subprocess.run([sys.executable, script.__file__, "--seconds", "540"], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(HERE, reason="a GPU is here")
def test_the_script_says_that_there_is_no_gpu():
    done = subprocess.run([sys.executable, script.__file__], capture_output=True, text=True, timeout=60)
    assert done.returncode == script.NO_GPU
    assert done.stdout.startswith("nothing was measured: no GPU is here") or "sees no GPU" in done.stdout
    assert not done.stderr


def test_a_part_that_fails_is_a_row_and_stops_nothing(monkeypatch, capsys):
    def breaks(machine):
        yield script.Row("broken", "before", "a figure")
        raise OSError("the fan has stopped")

    monkeypatch.setitem(script.PARTS, "broken", breaks)
    rows = script.tried("broken", script.Machine(time.monotonic() + 60, 1, 1.0, {}))
    assert [(r.result, r.good) for r in rows] == [("a figure", None), ("OSError: the fan has stopped", False)]
    assert "MISS" in capsys.readouterr().out


def test_no_part_is_begun_when_no_time_is_left():
    (row,) = script.tried("many", script.Machine(time.monotonic() + 1, 1, 1.0, {}))
    assert row.result == "not tried: no time was left"


def test_bus_bandwidth_is_counted_as_nccl_tests_count_it():
    ranks = [{"sizes": {"1000": 1.0}}, {"sizes": {"1000": 2.0}}]
    assert script.bandwidth(script.World(ranks, "", 0.0), 4) == {1000: 2 * 3 / 4 * 1000 / 2.0}


def test_a_rank_that_says_nothing_is_an_error():
    started = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE, text=True)
    assert "said nothing" in script._said(started, time.monotonic() + 30)["error"]
    stands = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], stdout=subprocess.PIPE, text=True
    )
    assert "stood still" in script._said(stands, time.monotonic() + 0.2)["error"]
    assert stands.poll() is not None
