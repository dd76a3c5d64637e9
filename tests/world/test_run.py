"""`commcheck run` around a real gloo world: torchrun, whose second rank does not come to a collective."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import commcheck

ROOT = Path(commcheck.__file__).parents[1]
SCRIPT = """
import os, sys, time, datetime
import torch, torch.distributed as dist
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=300))
dist.all_reduce(torch.ones(3))
print("formed", flush=True)
if sys.argv[1] == "hang":
    if dist.get_rank() == 1:
        time.sleep(300)
    dist.all_reduce(torch.ones(5))
if sys.argv[1] == "raise" and dist.get_rank() == 1:
    raise RuntimeError("connect [127.0.0.1]:29999: Connection refused")
dist.barrier()
print("over", flush=True)
"""


def start(tmp_path, what, *options):
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        what,
    ]
    env = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE"}}
    return subprocess.Popen(
        [sys.executable, "-m", "commcheck", "run", *options, "--", *command],
        env={**env, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def left(script):
    done = subprocess.run(["pgrep", "-f", str(script)], capture_output=True, text=True)
    return done.stdout.split()


def test_a_healthy_world_gets_nothing_added(tmp_path):
    process = start(tmp_path, "healthy")
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0
    assert out.count(b"formed") == out.count(b"over") == 2
    assert b"HEALTHY" not in err


def test_a_failing_rank_is_diagnosed(tmp_path):
    process = start(tmp_path, "raise")
    _, err = process.communicate(timeout=110)
    assert process.returncode == 1
    assert b"ChildFailedError" in err
    assert b"UNHEALTHY" in err


@pytest.mark.usefixtures("py_spy")
def test_a_world_that_stands_still_is_diagnosed_and_goes_on(tmp_path):
    report = tmp_path / "report.json"
    process = start(tmp_path, "hang", "--stall", "4", "--report", str(report))
    try:
        deadline = time.monotonic() + 90
        while not report.exists() or not report.stat().st_size:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)
        found = json.loads(report.read_text())
        assert found["diagnoses"][0]["cause"] == "collective-missing-rank"
        assert found["diagnoses"][0]["ranks"] == [1]
        assert process.poll() is None
        assert len(left(tmp_path / "job.py")) >= 3
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert b"collective-missing-rank" in err
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 30
    while left(tmp_path / "job.py") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left(tmp_path / "job.py") == []
