"""NCCL's worlds without a GPU: real torch and NCCL's own host code over a stand-in for CUDA (benchmarks/standin).

Building it takes NCCL's sources, CUDA's headers and a CUDA build of torch of several gigabytes: COMMCHECK_STANDIN names the
folder that build.py has made."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHERE = os.environ.get("COMMCHECK_STANDIN", "")
pytestmark = [
    pytest.mark.skipif(not WHERE, reason="COMMCHECK_STANDIN names no folder made by benchmarks/standin/build.py"),
    pytest.mark.skipif(os.geteuid() != 0, reason="device files and virtual hosts take root"),
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("standin"),
]


@pytest.fixture(autouse=True)
def two_gpus():
    """What commcheck looks for, and what the stand-in counts."""
    Path(WHERE, "gpus").write_text("2\n")
    with contextlib.ExitStack() as made:
        for number in range(2):
            file = Path(f"/dev/nvidia{number}")
            if not file.exists():
                file.touch()
                made.callback(file.unlink)
        yield


def said_by(*words):
    """What a program of that environment prints."""
    done = subprocess.run(
        [str(Path(WHERE, "python")), "-W", "ignore", *words],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_the_scenarios_of_nccl_are_as_expected(cores):
    with cores(alone=True):
        board = json.loads(said_by("-m", "commcheck", "scenario", "run", "nccl/*", "--quiet", "--format", "json"))
    rows = board["scenarios"]
    assert len(rows) >= 15
    assert {r["name"]: r["problems"] for r in rows if r["problems"]} == {}


@pytest.mark.parametrize(("size", "backend"), [(2, "nccl"), (3, "nccl"), (2, "cpu:gloo,cuda:nccl")])
def test_a_healthy_world_is_proven(cores, size, backend):
    settings = [x for rank in range(size) for x in ("--rank-env", f"{rank}:NCCL_HOSTID=host-{rank}")]
    with cores(alone=True):
        report = json.loads(
            said_by("-m", "commcheck", "preflight", "--world-size", str(size), "--backend", backend, "--env", "LOCAL_RANK=0",
                    *settings, "--quiet", "--format", "json")
        )  # fmt: skip
    assert report["verdict"] == "healthy", report["diagnoses"]


def test_what_is_said_of_gloos_links_holds_for_nccl(cores):
    with cores(alone=True):
        told = said_by(
            "benchmarks/standin/over_nccl.py", "links/one-way-*", "links/mtu-mismatch*", "links/data-ports-*"
        )
    count, _, of, *_ = told.splitlines()[-1].split()
    assert (count, int(of) > 4) == (of, True), told
