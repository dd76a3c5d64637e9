"""`commcheck cluster` without a shared directory: over a real srun, mpirun, and a pipe per host as ssh makes one."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import mpi
import pytest
import slurm
from census import descendants, gone, wait_until
from faulty import made
from job import HOSTS, TOPOLOGY

from commcheck.lab.lab import Lab

HERE = {"PYTHONPATH": os.getcwd()}
CLUSTER = (sys.executable, "-m", "commcheck", "cluster", "--format", "json", "--interface", "eth1", "--quick")
ALL = [f"h{n}" for n in range(HOSTS)]
AWAY = 'import sys, os; os.uname().nodename == "h2" and sys.stdin.read(); os.execvp(sys.argv[1], sys.argv[1:])'
"""Starts the program that is named; on h2 not before the end, and nothing is said until then."""


def small_mtu(lab):
    """The fault: on the network that is tried, not on that of the launcher."""
    return made(lab, "mtu", hosts=(2,), interface="eth1", mtu=1400)


def environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MASTER_", "RANK", "WORLD_SIZE", "SLURM"))}
    return {**kept, **HERE, "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def lab():
    with Lab(TOPOLOGY) as made_lab:
        yield made_lab


@pytest.fixture
def enter(lab, tmp_path):
    """A program that is called as ssh is."""
    return mpi.agent(lab, tmp_path)


def through(command, *options, seconds=90):
    """The exit code, the report (None where there is none), and what was said of errors."""
    done = subprocess.run(
        [*CLUSTER, "--hosts", "h[0-3]", "--through", command, *options],
        env=environment(), capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def assert_healthy(code, report, errors=""):
    assert code == 0, (report, errors)
    assert (report["verdict"], [h["name"] for h in report["hosts"]]) == ("healthy", ALL)
    assert [row.count("o") for row in report["reach"]] == [3] * HOSTS


def assert_found(code, report, cause="mtu-mismatch", errors=""):
    assert code == 1, (report, errors)
    assert [(d["cause"], d["hosts"]) for d in report["diagnoses"]] == [(cause, ["h2"])]
    assert report["bad_hosts"] == ["h2"]


def silent_on_h2(enter):
    return f"{enter} {{host}} {sys.executable} -c {shlex.quote(shlex.quote(AWAY))}"


# --- a pipe per host -------------------------------------------------------------------------------------------


def test_hosts_that_are_in_order_are_called_so_and_a_fault_is_named_on_its_host(lab, enter):
    assert_healthy(*through(f"{enter} {{host}}"))
    with small_mtu(lab):
        assert_found(*through(f"{enter} {{host}}")[:2])


@pytest.mark.whole
def test_streams_are_measured_too(enter):
    done = subprocess.run(
        [*CLUSTER[:-1], "--hosts", ",".join(ALL), "--through", f"{enter} {{host}}"],
        env=environment(), capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert_healthy(done.returncode, report)
    assert all(sum(x is not None for x in row) == 3 for row in report["gbit_loaded"])


def test_a_host_that_never_answers_is_missing_and_the_others_go_on(enter):
    begun = time.monotonic()
    code, report, errors = through(silent_on_h2(enter), "--join-deadline", "8")
    assert_found(code, report, "rank-missing")
    assert "h2: nothing has come within 8 s" in json.dumps(report["diagnoses"]), errors
    assert [row.count("o") for row in report["reach"]] == [2, 2, 0, 2]
    assert time.monotonic() - begun < 25


def test_a_host_that_cannot_be_reached_is_not_waited_for(enter, tmp_path):
    """Its command ends, and says why: evidence, long before the deadline."""
    script = tmp_path / "like-ssh"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = h2 ] && {{ echo "ssh: connect to host h2 port 22: No route to host" >&2; exit 255; }}\n'
        f'exec {enter} "$@"\n'
    )
    script.chmod(0o755)
    begun = time.monotonic()
    code, report, _ = through(f"{script} {{host}}")
    assert_found(code, report, "rank-missing")
    said = json.dumps(report["diagnoses"])
    assert "like-ssh has ended with exit code 255: ssh: connect to host h2 port 22: No route to host" in said
    assert time.monotonic() - begun < 20


LOSSY = """\
import random, subprocess, sys
chance = random.Random(sys.argv[1])
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) as process:
    for line in process.stdout:
        if chance.random() < 0.7:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
"""


@pytest.mark.whole
def test_what_comes_torn_is_asked_for_again(enter, tmp_path):
    """Of what the hosts say each third line is lost."""
    script = tmp_path / "lossy.py"
    script.write_text(LOSSY)
    code, report, errors = through(f"{sys.executable} {script} {enter} {{host}}")
    assert_healthy(code, report, errors)


@pytest.mark.whole
def test_one_that_falls_silent_meanwhile_is_gone(lab, enter):
    """It is killed while all measure: its pipe closes, and nobody waits for a deadline."""
    running = start(enter, *CLUSTER[:-1], "--bandwidth-seconds", "1")
    try:
        told(running, "round 1")
        os.kill(next(pid for pid in agents(running) if host_of(lab, pid) == "h2"), signal.SIGKILL)
        out, errors = running.communicate(timeout=90)
    finally:
        running.kill()
        running.communicate()
    report = json.loads(out)
    assert [(d["cause"], d["hosts"]) for d in report["diagnoses"]] == [("rank-stopped", ["h2"])], errors
    assert "has ended with exit code" in json.dumps(report["diagnoses"])


def host_of(lab, pid):
    """The name of the host that a process is on."""
    network = os.readlink(f"/proc/{pid}/ns/net")
    return next((h.name for h in lab.hosts if os.readlink(f"/proc/{h.pid}/ns/net") == network), "")


# --- nothing is left -------------------------------------------------------------------------------------------


def start(enter, *words):
    return subprocess.Popen(
        [*words, "--hosts", "h[0-3]", "--through", f"{enter} {{host}}"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def told(running, words):
    for line in running.stderr:
        if words in line:
            return
    raise AssertionError(f"never said: {words}")


def agents(running):
    """The hosts' processes, without what started them."""
    words = {pid: words_of(pid) for pid in descendants(running.pid)}
    return [pid for pid, own in words.items() if own[0] == sys.executable and "--attached" in own]


def words_of(pid):
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read().split("\0")


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.whole)])
def test_nothing_is_left_when_the_driver_ends(enter, tmp_path, number):
    """What starts the hosts' processes outlives the driver here, as sshd does: they end since their input does."""
    script = tmp_path / "like-sshd"
    script.write_text(f'#!/bin/sh\nexec setsid --fork --wait {enter} "$@" <&0\n')
    script.chmod(0o755)
    running = start(str(script), *CLUSTER[:-1], "--bandwidth-seconds", "5")
    try:
        told(running, "round 1")
        below = descendants(running.pid)
        assert len(agents(running)) == HOSTS
        running.send_signal(number)
        code = running.wait(20)
    finally:
        running.kill()
        running.communicate()
    assert code == (130 if number == signal.SIGINT else -9)
    assert wait_until(lambda: gone(below)), [p for p in below if not gone([p])]


# --- srun: one command, whose input goes to all ----------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(lab, tmp_path_factory):
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.cluster(lab, tmp_path_factory.mktemp("slurm")) as started:
        yield started


def allocated(cluster, *options, shape=("-N4",)):
    done = cluster.run("salloc", *shape, *CLUSTER, *options, **HERE)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_in_an_allocation_it_starts_the_hosts_itself(cluster):
    """Also where the allocation is for more tasks than hosts."""
    code, report, errors = allocated(cluster, shape=("-N4", "-n8"))
    assert_healthy(code, report, errors)
    assert "the hosts were heard through: srun" in report["notes"]
    with small_mtu(cluster.lab):
        assert_found(*allocated(cluster)[:2])


@pytest.mark.whole
def test_any_command_will_do_that_passes_its_input_to_all(cluster):
    """And that puts tags before their lines."""
    label = ("--through", "srun -N{count} -n{count} -w {hosts} --label --unbuffered")
    assert_healthy(*allocated(cluster, *label))
    assert_healthy(*allocated(cluster, *label, "--hosts", ",".join(ALL)))


@pytest.mark.whole
def test_a_host_on_which_srun_starts_nothing_is_missing(cluster):
    program = shlex.join((sys.executable, "-c", AWAY, sys.executable, "-m", "commcheck"))
    code, report, _ = allocated(cluster, "--join-deadline", "8", "--program", program)
    assert_found(code, report, "rank-missing")


@pytest.mark.whole
def test_a_batch_script_needs_nothing_else(cluster, tmp_path):
    script, output = tmp_path / "job.sh", tmp_path / "job.log"
    script.write_text(f"#!/bin/bash\nexec {shlex.join(CLUSTER)} --quiet\n")
    shape = ("-N4", "--wait", f"--output={output}", f"--chdir={tmp_path}")
    with small_mtu(cluster.lab):
        done = cluster.run("sbatch", *shape, str(script), **HERE)
    assert_found(done.returncode, json.loads(output.read_text()))


@pytest.mark.whole
def test_srun_ends_with_the_driver(cluster, tmp_path):
    """Killed, it can tell srun nothing; srun ends all the same, and its tasks with it."""
    script = tmp_path / "job.sh"
    script.write_text(
        f"{shlex.join(CLUSTER[:-1])} --bandwidth-seconds 7 2> {tmp_path}/said &\n"
        'within() { for n in $(seq 300); do "$@" && return 0; sleep 0.1; done; return 1; }\n'
        f"within grep -q 'round 1' {tmp_path}/said || exit 8\n"
        f"run=$(grep -o -m1 'attached [0-9a-f]*' {tmp_path}/said)\n"
        'there() { pgrep -f "commcheck cluster --$run" >&2; }\n'
        "there || exit 7\n"
        "kill -KILL $!\n"
        "gone() { ! there; }\n"
        "within gone || exit 9\n"
    )
    done = cluster.run("salloc", "-N4", "bash", str(script), **HERE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.whole
def test_a_host_whose_daemon_is_gone_is_missing_and_the_others_are_measured_without_it(tmp_path):
    """srun gives up on all hosts for one that it does not reach: it is started again without that one."""
    if reason := slurm.missing():
        pytest.skip(reason)
    with Lab(TOPOLOGY) as own, slurm.cluster(own, tmp_path) as started:
        daemons = [pid for pid in descendants(os.getpid()) if words_of(pid)[:2] == ["slurmd", "-D"]]
        os.kill(next(pid for pid in daemons if host_of(own, pid) == "h2"), signal.SIGKILL)
        code, report, errors = allocated(started, "--join-deadline", "30")
    assert_found(code, report, "rank-missing", errors)
    assert "failed on node h2: Communication connection failure" in json.dumps(report["diagnoses"])
    assert [row.count("o") for row in report["reach"]] == [2, 2, 0, 2]


# --- MPI's launchers, one per host: their input goes to rank 0 alone -----------------------------------------------


@pytest.mark.parametrize(
    "kind", [pytest.param("openmpi", marks=pytest.mark.whole), pytest.param("hydra", marks=pytest.mark.whole)]
)
def test_mpirun_starts_a_host_s_process(lab, tmp_path, kind):
    if reason := mpi.missing(kind):
        pytest.skip(reason)
    words = list(mpi.argv(kind, lab, tmp_path, {}))
    words[words.index(",".join(ALL))] = "{host}"
    words[words.index(str(HOSTS))] = "1"
    first = f"{mpi.agent(lab, tmp_path)} h0 {' '.join(words)}"
    assert_healthy(*through(first))
    with small_mtu(lab):
        assert_found(*through(first)[:2])
