"""`commcheck cluster` between virtual hosts: healthy ones are called so, and each fault is found on its host."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import pytest
import slurm
from faulty import made

from commcheck.cluster.inlab import measured
from commcheck.cluster.judge import report
from commcheck.cluster.lead import Options
from commcheck.lab.lab import Lab
from commcheck.model.cluster import Reach
from commcheck.model.diagnosis import Verdict
from commcheck.model.topology import Network, Topology

MOST_SECONDS = 60.0
"""For 16 hosts, by issue: on two cores that do nothing else."""
NOMINAL = "200mbit"
"""What each cable carries where rates are compared: 16 hosts on two cores, talking all at once, can keep that up."""


def checked(lab, **given):
    begun = time.time()
    found = measured(lab, lambda _: None, Options(), **given)
    seconds = time.time() - begun
    done = report(found, command=("commcheck", "cluster"), begun=begun, seconds=seconds)
    print(f"{len(lab)} hosts: {done.verdict}, {seconds:.1f} s; {[d.title for d in done.diagnoses]}")
    return done


def every_cable(lab):
    return made(lab, "bandwidth", hosts=tuple(range(len(lab))), rate=NOMINAL)


def small_mtu(lab, host):
    """The interface itself has another MTU than those of the others."""
    stack = ExitStack()
    lab[host].ip("link", "set", "dev", "eth0", "mtu", "1400")
    stack.callback(lab[host].ip, "link", "set", "dev", "eth0", "mtu", "1500")
    return stack


FAULTS = {
    "dead port range": ([partial(made, kind="drop", hosts=(5,), ports="40000-50000")], "data-ports-dropped", ("h5",)),
    "slow link": ([partial(made, kind="bandwidth", hosts=(3,), rate="20mbit")], "link-slow", ("h3",)),
    "lossy link": ([partial(made, kind="loss", hosts=(2,), percent=2)], "link-lossy", ("h2",)),
    "cable with another MTU": ([partial(made, kind="mtu", hosts=(4,), mtu=1400)], "mtu-mismatch", ("h4",)),
    "interface with another MTU": ([partial(small_mtu, host=4)], "mtu-mismatch", ("h4",)),
    "stale hosts entry": (
        [partial(made, kind="resolves-to", hosts=(4,), name="h1", address="{h0}")],
        "host-resolves-differently",
        ("h4",),
    ),
    "wrong hardware address": (
        [partial(made, kind="neighbour-fixed", hosts=(4,), other=1, hardware="02:00:00:00:de:ad")],
        "neighbour-wrong",
        ("h4",),
    ),
    "slow only when others talk": (
        [every_cable, partial(made, kind="crowded-out", hosts=(5,), over=40)],
        "link-slow",
        ("h5",),
    ),
}
NO_BAD_HOST = {"stale hosts entry", "wrong hardware address"}
FEW = {"slow link"}
"""Of the faults those that CI runs, among six hosts; tests/cluster/test_cluster_through.py has others."""


def test_hosts_that_are_in_order_are_called_so(cores):
    with cores(alone=True), Lab(Topology(hosts=8)) as lab:
        done = checked(lab)
    assert (done.verdict, done.diagnoses, done.bad_hosts) == (Verdict.HEALTHY, (), ())
    assert [row.count(Reach.OK) for row in done.reach] == [7] * 8
    assert done.rounds == 7
    for table in (done.latency_us, done.gbit, done.gbit_loaded):
        assert [sum(x is not None for x in row) for row in table] == [7] * 8
    assert [h.address for h in done.hosts] == [f"10.77.0.{10 + n}" for n in range(8)]
    assert not done.not_evaluated


@pytest.mark.whole
@pytest.mark.parametrize("_", range(10))
def test_sixteen_hosts_in_order_are_called_so_each_time_in_a_minute(cores, _):
    with cores(alone=True), Lab(Topology(hosts=16)) as lab:
        done = checked(lab)
    assert (done.verdict, done.diagnoses) == (Verdict.HEALTHY, ())
    assert done.rounds == 15
    assert done.seconds < MOST_SECONDS


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        pytest.param(name, hosts, marks=[] if name in FEW and hosts == 6 else [pytest.mark.whole])
        for name in FAULTS
        for hosts in (6, 16)
    ],
)
def test_a_fault_is_found_on_its_host(cores, name, hosts):
    faults, cause, where = FAULTS[name]
    with cores(alone=True), Lab(Topology(hosts=hosts)) as lab, ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault(lab))
        done = checked(lab)
    assert done.verdict is Verdict.UNHEALTHY
    assert [(d.cause, d.hosts) for d in done.diagnoses] == [(cause, where)]
    assert done.bad_hosts == (() if name in NO_BAD_HOST else where)
    assert all(d.evidence and d.fixes for d in done.diagnoses)
    if name == "slow only when others talk":
        assert "only while others talk" in done.diagnoses[0].title
    assert done.seconds < MOST_SECONDS


@pytest.mark.whole
def test_cables_that_all_carry_little_are_no_fault(cores):
    with cores(alone=True), Lab(Topology(hosts=4)) as lab, every_cable(lab):
        done = checked(lab)
    assert (done.verdict, done.diagnoses) == (Verdict.HEALTHY, ())
    rates = [x for row in done.gbit for x in row if x is not None]
    assert median(rates) == pytest.approx(0.19, rel=0.1)


@pytest.mark.whole
def test_a_link_that_is_bad_between_two_good_hosts_is_named_as_one(cores):
    with cores(alone=True), Lab(Topology(hosts=5)) as lab, made(lab, "drop", hosts=(1,), source=(3,)):
        done = checked(lab)
    (found,) = done.diagnoses
    assert (found.cause, found.hosts) == ("one-way-blocked", ("h3", "h1"))
    assert [(k.source, k.target) for k in found.links] == [("h3", "h1")]
    assert done.bad_hosts == ()
    assert done.reach[3][1] == Reach.DROPPED


@pytest.mark.whole
def test_groups_that_cannot_reach_each_other_are_a_partition(cores):
    with cores(alone=True), Lab(Topology(hosts=5)) as lab, made(lab, "partition", groups=((0, 1), (2, 3, 4))):
        done = checked(lab)
    assert [d.cause for d in done.diagnoses] == ["partition"]
    assert done.bad_hosts == ()


@pytest.mark.whole
def test_a_host_that_says_nothing_is_evidence(cores, monkeypatch):
    monkeypatch.setattr("commcheck.cluster.lead.CARD_DEADLINE", 6.0)
    with cores(alone=True), Lab(Topology(hosts=4)) as lab:
        done = checked(lab, silent=(2,))
    assert [(d.cause, d.hosts) for d in done.diagnoses] == [("rank-missing", ("h2",))]
    assert done.hosts[2].said_nothing
    assert done.bad_hosts == ("h2",)


def test_hosts_of_a_routed_network_are_found_by_their_routes(cores):
    topology = Topology(hosts=4, networks=(Network(kind="routed", subnet="10.80.0.0/16"),))
    with cores(alone=True), Lab(topology) as lab:
        done = checked(lab)
    assert (done.verdict, done.diagnoses) == (Verdict.HEALTHY, ())


# --- the command ------------------------------------------------------------------------------------------------


def command(*arguments):
    return [sys.executable, "-m", "commcheck", "cluster", *arguments]


def environment(**more):
    return {k: v for k, v in os.environ.items() if not k.startswith(("MASTER_", "RANK", "WORLD_SIZE"))} | more


def started(lab, folder, *arguments, absent=()):
    return [
        lab[rank].popen(
            command("--report-dir", str(folder), *arguments),
            env=environment(RANK=str(rank), WORLD_SIZE=str(len(lab))),
        )
        for rank in range(len(lab))
        if rank not in absent
    ]


def ended(running):
    found = [(p, *p.communicate(timeout=100)) for p in running]
    return [(p.returncode, out.decode(), err.decode()) for p, out, err in found]


def test_the_tasks_of_a_launcher_find_it_out_together(tmp_path):
    with Lab(Topology(hosts=3)) as lab, made(lab, "drop", hosts=(1,)):
        excluded = tmp_path / "excluded"
        first, *others = ended(started(lab, tmp_path / "meet", "--format", "json", "--exclude-file", str(excluded)))
    assert [code for code, _, _ in (first, *others)] == [1, 1, 1], first[2]
    assert [out for _, out, _ in others] == ["", ""]
    found = json.loads(first[1])
    assert [(d["cause"], d["hosts"]) for d in found["diagnoses"]] == [("one-way-blocked", ["h1"])]
    assert excluded.read_text() == "h1\n"
    assert list((tmp_path / "meet").iterdir()) == []


def test_a_task_that_does_not_come_is_named(tmp_path):
    with Lab(Topology(hosts=3)) as lab:
        first, other = ended(started(lab, tmp_path, "--quick", "--join-deadline", "5", absent=(1,)))
    assert (first[0], other[0]) == (1, 1), first[2]
    assert "rank 1 has said nothing" in first[1]
    assert list(tmp_path.iterdir()) == []


def test_srun_starts_it_on_every_host(tmp_path_factory, tmp_path):
    if reason := slurm.missing():
        pytest.skip(reason)
    run = ("srun", "-N4", "-n4", "--kill-on-bad-exit=0", "--export=ALL", *command("--format", "json", "--quick"))
    here = {"PYTHONPATH": os.getcwd()}
    with Lab(Topology(hosts=4)) as lab, slurm.cluster(lab, tmp_path_factory.mktemp("slurm")) as cluster:
        fine = cluster.run(*run, "--report-dir", str(tmp_path / "fine"), **here)
        assert fine.returncode == 0, fine.stderr
        assert json.loads(fine.stdout)["verdict"] == "healthy"
        with made(lab, "mtu", hosts=(2,), mtu=1400):
            bad = cluster.run(*run, "--report-dir", str(tmp_path / "bad"), **here)
        assert bad.returncode == 1, bad.stderr
    found = json.loads(bad.stdout)
    assert [(d["cause"], d["hosts"]) for d in found["diagnoses"]] == [("mtu-mismatch", ["h2"])]
    assert [h["name"] for h in found["hosts"]] == ["h0", "h1", "h2", "h3"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended(tmp_path, number):
    lab = tmp_path / "lab.toml"
    lab.write_text("hosts = 4\n")
    running = subprocess.Popen(
        command("--lab", str(lab)), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment()
    )
    with running:
        for line in running.stderr:
            if "round 2" in line:
                break
        below = descendants(running.pid)
        assert len(below) > 4
        running.send_signal(number)
        code = running.wait(20)
        running.stderr.read()
    assert code == (130 if number == signal.SIGINT else -9)
    end = time.monotonic() + 10
    while [p for p in below if alive(p)] and time.monotonic() < end:
        time.sleep(0.05)
    assert [p for p in below if alive(p)] == []
    assert "commcheck" not in Path("/proc/mounts").read_text()


def descendants(pid):
    from commcheck.system.process import descendants as below

    return below(pid)


def alive(pid):
    from commcheck.system.process import state

    found = state(pid)
    return found is not None and found.state != "Z"
