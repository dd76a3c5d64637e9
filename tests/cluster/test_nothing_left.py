"""However a run ends, in the middle of a world too, nothing of it is left: counted on the machine."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from census import descendants, gone, machine, namespaces, wait_until

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0  # the import of torch on a busy machine
END_SECONDS = 20.0
KINDS = ("net", "uts", "mnt")

PROGRAM = """
import os, sys
from faulty import made
from commcheck.api import preflight
from commcheck.lab import Lab
from commcheck.model.plan import FaultAt
from commcheck.model.topology import Topology
from commcheck.planner import local_plan
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms

base = {"PATH": os.environ["PATH"]}
with Lab(Topology(hosts=3)) as lab, made(lab, "drop", hosts=(0,), ports="!= 29500"), Launcher(base) as launcher:
    # Stopped ranks: the hardest to get rid of, since they handle no signal and close no pipe.
    faults = {rank: (FaultAt(name="stop", phase="resolve"),) for rank in range(3)}
    plan = local_plan(size=3, base=base, master_addr=lab[0].address, master_port=29500, places=lab.places, faults=faults)
    print("ready", flush=True)
    preflight(plan, launcher=launcher, terms=Terms(deadline=float(sys.argv[1])))
"""


def stopped(pids):
    """Those of the processes that are stopped: the ranks of PROGRAM."""
    found = set()
    for pid in pids:
        try:
            if Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0] == "T":
                found.add(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.parametrize(
    "ending", ["deadline", "kill -9", "interrupt", pytest.param("terminate", marks=pytest.mark.whole)]
)
def test_a_run_leaves_nothing(ending, tmp_path):
    before = machine()
    deadline = "2" if ending == "deadline" else "60"
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), deadline],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(tmp_path),
        },
    )
    with run:
        assert run.stdout.readline() == b"ready\n"
        assert wait_until(lambda: run.poll() is not None or len(stopped(descendants(run.pid))) == 3, START_SECONDS)
        assert run.poll() is None, "it ended before its ranks were seen"
        ours = descendants(run.pid)
        assert len(ours) >= 8  # keeper, 3 holders, the process that forks, 3 ranks
        held = {kind: namespaces(kind, ours) for kind in KINDS}
        assert all(len(held[kind]) >= 3 for kind in KINDS)
        if ending != "deadline":
            run.send_signal(
                {"kill -9": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}[ending]
            )
        run.wait(END_SECONDS)
    assert wait_until(lambda: gone(ours))
    assert wait_until(lambda: not any(held[kind] & namespaces(kind) for kind in KINDS))
    assert list(tmp_path.iterdir()) == []
    assert machine() == before


SCENARIO = """
title = "Stopped ranks on hosts with faults that come later"
deadline = 60
[lab]
[world]
env = { GLOO_SOCKET_IFNAME = "eth0" }
[[fault]]
kind = "listener"
hosts = [1]
port = 7000
when = { after = 0.0 }
[[fault]]
kind = "stop"
rank = 0
phase = "resolve"
[[fault]]
kind = "stop"
rank = 1
phase = "resolve"
[expect]
verdict = "unhealthy"
cause = "rank-stopped"
symptoms = ["setup-hang-timeout"]
ranks = [0, 1]
"""


@pytest.mark.parametrize(
    "ending", ["kill -9", *(pytest.param(e, marks=pytest.mark.whole) for e in ("interrupt", "terminate"))]
)
def test_a_run_of_scenarios_leaves_nothing(ending, tmp_path):
    before = machine()
    (tmp_path / "mine.toml").write_text(SCENARIO)
    run = subprocess.Popen(
        [sys.executable, "-m", "commcheck", "scenario", "run", "mine.toml", "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)},
    )
    with run:
        assert wait_until(lambda: run.poll() is not None or len(stopped(descendants(run.pid))) == 2, START_SECONDS)
        assert run.poll() is None, "it ended before its ranks were seen"
        ours = descendants(run.pid)
        held = {kind: namespaces(kind, ours) for kind in KINDS}
        run.send_signal({"kill -9": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}[ending])
        code = run.wait(END_SECONDS)
    assert code == {"kill -9": -signal.SIGKILL, "interrupt": 130, "terminate": -signal.SIGTERM}[ending]
    assert wait_until(lambda: gone(ours))
    assert wait_until(lambda: not any(held[kind] & namespaces(kind) for kind in KINDS))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]
    assert machine() == before
