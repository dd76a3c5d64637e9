"""`commcheck diagnose --pid` and `--job` beside real gloo worlds of plain scripts, which must go on as if nobody looked."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port

import commcheck

ROOT = Path(commcheck.__file__).parents[1]
SCRIPT = """
import datetime, os, sys, time
import torch, torch.distributed as dist
what = sys.argv[1]
rank = int(os.environ["RANK"])
print("up", flush=True)
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=300))
print("formed", flush=True)
def idle():
    time.sleep(300)
step = 0
while True:
    if what == "hang" and rank == 1 and step == 3:
        idle()
    torch.randn(150, 150) @ torch.randn(150, 150)
    dist.all_reduce(torch.ones(10))
    step += 1
    print("step", step, flush=True)
"""


@contextmanager
def job(tmp_path, what, *, size=2, start=None, until="step 3", env=None):
    """The script on each rank of `start`, until each has printed `until`."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    port = free_port()
    ranks = {}
    logs = {}
    for rank in start if start is not None else range(size):
        logs[rank] = tmp_path / f"log-{rank}"
        base = {k: v for k, v in os.environ.items() if not k.startswith("COMMCHECK")}
        with logs[rank].open("w") as out:
            ranks[rank] = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(script), what],
                env={
                    **base,
                    "RANK": str(rank),
                    "WORLD_SIZE": str(size),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                    **(env or {}).get(rank, {}),
                },
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    try:
        deadline = time.monotonic() + 90
        while not all(until in logs[r].read_text() for r in ranks):
            assert time.monotonic() < deadline, {r: logs[r].read_text()[-500:] for r in ranks}
            time.sleep(0.1)
        time.sleep(0.5)
        yield ranks, logs
    finally:
        for process in ranks.values():
            process.kill()
            process.wait()


WITHOUT_PY_SPY = (
    "-c",
    (
        "from commcheck.runtime.live import pyspy; pyspy.program = lambda: None;"
        "import sys; from commcheck.cli.main import main; sys.exit(main())"
    ),
)


def look(*arguments, start=("-m", "commcheck")) -> dict:
    done = subprocess.run(
        [sys.executable, *start, "diagnose", "--quiet", "--format", "json", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert done.returncode == {"healthy": 0, "unhealthy": 1, "inconclusive": 3}[report["verdict"]]
    return report


def pids(ranks):
    return ["--pid", *(p.pid for p in ranks.values())]


def lead(report):
    roots = [d for d in report["diagnoses"] if d["role"] == "root"]
    return (roots[0]["cause"], roots[0]["ranks"]) if roots else None


def test_a_healthy_job_is_not_called_broken_and_goes_on(tmp_path):
    with job(tmp_path, "healthy") as (ranks, logs):
        steps = logs[0].read_text().count("step")
        # A look may fall between two steps and prove nothing; none may call the job broken, and one has to see it move.
        for _ in range(5):
            report = look(*pids(ranks))
            assert report["verdict"] != "unhealthy", report
            if report["verdict"] == "healthy":
                break
        assert report["verdict"] == "healthy", report
        assert report["world"]["size"] == 2
        time.sleep(1)
        assert all(p.poll() is None for p in ranks.values())
        assert logs[0].read_text().count("step") > steps


def test_a_stopped_rank(tmp_path):
    with job(tmp_path, "healthy") as (ranks, _):
        ranks[1].send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        report = look(*pids(ranks), "--watch", 1)
        assert lead(report) == ("rank-stopped", [1])
        state = Path(f"/proc/{ranks[1].pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert state == "T"  # it was not continued either


def test_a_rank_that_was_never_started(tmp_path):
    with job(tmp_path, "healthy", size=3, start=[0, 1], until="up") as (ranks, _):
        time.sleep(2)
        report = look(*pids(ranks), "--watch", 2)
        assert lead(report) == ("rank-missing", [2])
        assert all(p.poll() is None for p in ranks.values())


def test_a_wrong_port(tmp_path):
    with job(tmp_path, "healthy", until="up", env={1: {"MASTER_PORT": str(free_port())}}) as (ranks, _):
        time.sleep(2)
        report = look(*pids(ranks), "--watch", 2)
        assert lead(report) == ("port-mismatch", [1])
        assert report["verdict"] == "unhealthy"


def test_a_standstill_without_stacks_is_not_blamed_on_anybody(tmp_path):
    with job(tmp_path, "hang") as (ranks, _):
        report = look(*pids(ranks), "--watch", 2, start=WITHOUT_PY_SPY)
        assert report["verdict"] == "inconclusive"
        assert any("py-spy" in line for line in report["not_evaluated"])


@pytest.mark.usefixtures("py_spy")
def test_who_has_not_come_by_their_stacks(tmp_path):
    with job(tmp_path, "hang", size=3) as (ranks, _):
        report = look(*pids(ranks), "--watch", 2)
        assert lead(report) == ("collective-missing-rank", [1])
        assert any("all_reduce" in note for note in report["notes"])
        assert all(p.poll() is None for p in ranks.values())


def test_one_rank_of_a_healthy_job_alone_is_not_called_broken(tmp_path):
    with job(tmp_path, "healthy") as (ranks, _):
        assert look("--pid", ranks[0].pid)["verdict"] != "unhealthy"


def test_a_rank_that_was_killed_and_not_yet_reaped(tmp_path):
    with job(tmp_path, "healthy") as (ranks, _):
        os.kill(ranks[1].pid, signal.SIGKILL)
        time.sleep(0.3)
        report = look("--pid", ranks[0].pid, ranks[1].pid, "--watch", 1)
        assert report["verdict"] == "unhealthy"
        assert any(d["cause"] == "rank-killed" for d in report["diagnoses"]), report["diagnoses"]


def test_an_address_that_nobody_answers(tmp_path):
    with job(tmp_path, "healthy", until="up", env={1: {"MASTER_ADDR": "10.255.255.1"}}) as (ranks, _):
        time.sleep(2)
        assert lead(look(*pids(ranks), "--watch", 2)) == ("wrong-master-host", [1])


def test_the_job_of_this_session_is_found_by_itself(tmp_path):
    """In a session of its own: other tests' worlds run on this machine as well."""
    driver = tmp_path / "driver.sh"
    (tmp_path / "job.py").write_text(SCRIPT)
    driver.write_text(
        f"export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={free_port()} PYTHONPATH={ROOT}\n"
        f"cd {tmp_path}\n"
        "for RANK in 0 1; do export RANK; sh -c '$0 -W ignore job.py healthy > log-$RANK; :' "
        f"{sys.executable} & done\n"
        "unset RANK WORLD_SIZE\n"
        "until grep -qs 'step 3' log-0 && grep -qs 'step 3' log-1; do sleep 0.2; done\n"
        "for TRY in 1 2 3 4 5; do "
        f"{sys.executable} -m commcheck diagnose --job --quiet --format json --output report.json; CODE=$?; "
        "[ $CODE = 3 ] || exit $CODE; done; exit $CODE\n"
    )
    process = subprocess.Popen(["sh", str(driver)], start_new_session=True)
    try:
        assert process.wait(timeout=100) == 0
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "healthy"
    assert sorted(p["rank"] for p in report["world"]["placed"]) == [0, 1]


def test_wrong_pids_are_told():
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "diagnose", "--pid", "4194399"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--pid 4194399: no such process" in done.stderr
