"""A preflight under real launchers between virtual hosts: Slurm's srun on four hosts, Open MPI's mpirun.

The hosts have two networks: Slurm's own, and the one that the job is told to use, where the faults are made.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest
import slurm
from faulty import made

from commcheck.lab.lab import Lab
from commcheck.model.topology import Network, Topology

torch = pytest.importorskip("torch")

DATA = "10.88.0."
TOPOLOGY = Topology(hosts=4, networks=(Network(), Network(interface="eth1", subnet=f"{DATA}0/24")))
JOB = {"GLOO_SOCKET_IFNAME": "eth1", "MASTER_ADDR": f"{DATA}10", "MASTER_PORT": "29500"}
COMMCHECK = (sys.executable, "-m", "commcheck")
FAULTS = (
    # fault, its parameters, further settings -> cause, ranks
    ("drop", {"hosts": [0], "ports": "29500"}, {}, "port-dropped", {0}),
    ("reject", {"hosts": [0], "ports": "29500"}, {}, "port-refused", {0}),
    ("link-down", {"hosts": [3], "interface": "eth1"}, {}, "interface-down", {3}),
    ("route-missing", {"hosts": [2], "destination": f"{DATA}0/24"}, {}, "route-missing", {2}),
    ("mtu", {"hosts": [1], "interface": "eth1", "mtu": 1200}, {}, "mtu-mismatch", {1}),
    ("unresolvable", {"hosts": [2], "name": "h0"}, {"MASTER_ADDR": "h0"}, "host-unresolvable", {2}),
    (None, {}, {"GLOO_SOCKET_IFNAME": "nope0"}, "interface-missing", {0, 1, 2, 3}),
    (None, {}, {"MASTER_ADDR": f"{DATA}99"}, "wrong-master-host", {0, 1, 2, 3}),
    (None, {}, {"MASTER_PORT": "70000"}, "port-out-of-range", {0, 1, 2, 3}),
    (None, {}, {"inject": "2:stop@verify"}, "rank-stopped", {2}),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := slurm.missing():
        pytest.skip(reason)
    with Lab(TOPOLOGY) as lab, slurm.cluster(lab, tmp_path_factory.mktemp("slurm")) as started:
        yield started


def preflight(cluster, directory, *options, **environment):
    """srun on all hosts, then the ranks' reports merged: srun's exit code, and the report."""
    shape = ("-N4", "-n4", "--kill-on-bad-exit=0", "--export=ALL")
    words = (*COMMCHECK, "preflight", "--quiet", "--report-dir", str(directory), "--backend", "gloo", *options)
    done = cluster.run("srun", *shape, *words, PYTHONPATH=os.getcwd(), **environment)
    merged = subprocess.run(
        [*COMMCHECK, "diagnose", "--format", "json", str(directory)], capture_output=True, text=True, timeout=60
    )
    assert merged.stdout, (done.stderr, merged.stderr)
    return done, json.loads(merged.stdout)


def test_srun_alone_is_enough_to_join(cluster, tmp_path):
    """No RANK, no MASTER_ADDR: Slurm's own variables say who each rank is and where the first one runs."""
    done, report = preflight(cluster, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "slurm says which rank this is" in " ".join(done.stdout.split())
    assert report["verdict"] == "healthy", report
    assert sorted(p["host"] for p in report["world"]["placed"]) == ["h0", "h1", "h2", "h3"]


FEW = {"port-dropped", "mtu-mismatch", "interface-missing", "rank-stopped"}


@pytest.mark.parametrize(
    ("kind", "given", "settings", "cause", "ranks"),
    [pytest.param(*f, id=f[3], marks=[] if f[3] in FEW else [pytest.mark.whole]) for f in FAULTS],
)
def test_a_fault_is_named_through_srun(cluster, tmp_path, kind, given, settings, cause, ranks):
    settings = dict(settings)
    inject = ("--inject", settings.pop("inject")) if "inject" in settings else ()
    with ExitStack() as stack:
        if kind is not None:
            stack.enter_context(made(cluster.lab, kind, **given))
        done, report = preflight(cluster, tmp_path, "--join-deadline", "20", *inject, **{**JOB, **settings})
    first = report["diagnoses"][0]
    assert done.returncode == 1
    assert (report["verdict"], first["cause"], set(first["ranks"])) == ("unhealthy", cause, ranks)


# --- mpirun ----------------------------------------------------------------------------------------------------


def mpirun(directory, *options):
    shape = ("--allow-run-as-root", "--oversubscribe", "-np", "2")
    words = (*COMMCHECK, "preflight", "--report-dir", str(directory), "--backend", "gloo", "--format", "json", *options)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMPI_")}
    environment["RES_OPTIONS"] = "timeout:1 attempts:1"
    return subprocess.run(["mpirun", *shape, *words], env=environment, capture_output=True, text=True, timeout=90)


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun on PATH (Debian: openmpi-bin)")
@pytest.mark.parametrize(
    ("options", "code", "cause"), [((), 0, None), (("--inject", "1:kill@verify"), 1, "rank-killed")]
)
def test_mpirun_alone_is_enough_to_join_on_one_host(tmp_path, options, code, cause):
    done = mpirun(tmp_path, *options)
    merged = subprocess.run(
        [*COMMCHECK, "diagnose", "--format", "json", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    report = json.loads(merged.stdout)
    assert merged.returncode == code, done.stderr
    assert [d["cause"] for d in report["diagnoses"][:1]] == ([] if cause is None else [cause])
    assert report["world"]["size"] == 2
