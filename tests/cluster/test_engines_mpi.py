"""A preflight under a real mpirun between virtual hosts: Open MPI's and MPICH's, started as over ssh."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import mpi
import pytest
from census import wait_until
from job import COMMCHECK, JOB, TOPOLOGY, assert_found, assert_healthy, every_fault, judged, struck

from commcheck.engines.base import Wanted
from commcheck.engines.openmpi import render
from commcheck.lab.lab import Lab

torch = pytest.importorskip("torch")

PREFLIGHT = (*COMMCHECK, "preflight", "--quiet", "--backend", "gloo", "--report-to", "stdout")
KINDS = pytest.mark.parametrize("kind", list(mpi.COMMANDS))


@pytest.fixture(scope="module")
def lab():
    with Lab(TOPOLOGY) as made:
        yield made


def launched(kind, lab, directory, settings, *options):
    """The launcher on the first host: its exit code, and its output."""
    if reason := mpi.missing(kind):
        pytest.skip(reason)
    words = (*mpi.argv(kind, lab, directory, settings), *PREFLIGHT, *options)
    done = lab.hosts[0].run(words, env=mpi.environment(), timeout=90)
    return done.returncode, done.stdout, done.stderr


def running(lab):
    """What still runs on the hosts beside their holders: a launcher's daemons end soon after it."""
    networks = {(Path("/proc") / str(host.pid) / "ns" / "net").readlink() for host in lab.hosts}
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "ns" / "net").readlink() in networks:
                found.append((int(process.name), (process / "comm").read_text().strip()))
        except OSError:
            continue
    return [(pid, name) for pid, name in found if pid not in {host.pid for host in lab.hosts}]


@KINDS
def test_healthy(lab, tmp_path, kind):
    code, text, errors = launched(kind, lab, tmp_path, JOB)
    assert code == 0, errors
    judgement, report = judged(text)
    assert judgement == 0
    assert_healthy(report)
    assert wait_until(lambda: not running(lab)), running(lab)


@pytest.mark.parametrize("kind", ["openmpi", pytest.param("hydra", marks=pytest.mark.whole)])
@every_fault("port-dropped")
def test_a_fault_is_named(lab, tmp_path, kind, cause):
    with struck(lab, cause) as (settings, inject):
        code, text, _ = launched(kind, lab, tmp_path, settings, "--join-deadline", "20", *inject)
    judgement, report = judged(text)
    assert (code, judgement) == (1, 1)
    assert_found(report, cause)


@pytest.mark.parametrize(
    ("options", "code", "cause"), [((), 0, None), (("--inject", "1:kill@verify"), 1, "rank-killed")]
)
def test_mpirun_alone_is_enough_to_join_on_one_host(tmp_path, options, code, cause):
    """No MASTER_ADDR either; and the reports lie in a directory."""
    if reason := mpi.missing("openmpi"):
        pytest.skip(reason)
    words = ("mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-np", "2")
    preflight = (*COMMCHECK, "preflight", "--report-dir", str(tmp_path), "--backend", "gloo", *options)
    environment = {**mpi.environment(), "RES_OPTIONS": "timeout:1 attempts:1"}
    done = subprocess.run([*words, *preflight], env=environment, capture_output=True, text=True, timeout=90)
    merged = subprocess.run(
        [*COMMCHECK, "diagnose", "--format", "json", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    report = json.loads(merged.stdout)
    assert merged.returncode == code, done.stderr
    assert [d["cause"] for d in report["diagnoses"][:1]] == ([] if cause is None else [cause])
    assert report["world"]["size"] == 2


@pytest.mark.parametrize(("interface", "code"), [("lo", 0), ("nope0", 1)])
def test_what_plan_prints_for_mpirun_returns_the_verdict(tmp_path, interface, code):
    """mpirun itself returns 0 where one rank's exit code may not end the others."""
    if reason := mpi.missing("openmpi"):
        pytest.skip(reason)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "commcheck").write_text(f'#!/bin/sh\nexec {shlex.join(COMMCHECK)} "$@"\n')
    (tmp_path / "bin" / "commcheck").chmod(0o755)
    (tmp_path / "bin" / "mpirun").symlink_to(shutil.which("mpirun.openmpi"))
    (command,) = render(Wanted(nodes=1, ranks_per_node=2)).commands
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    more = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    environment = {**mpi.environment(), **more, "GLOO_SOCKET_IFNAME": interface, "PATH": path}
    environment["RES_OPTIONS"] = "timeout:1 attempts:1"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, done.stderr
    assert ("HEALTHY" if code == 0 else "interface-missing") in done.stdout
