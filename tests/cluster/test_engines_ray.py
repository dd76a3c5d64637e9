"""A preflight driven on a real Ray cluster of four virtual hosts. These run where Ray is installed, as CI does it; or
COMMCHECK_RAY_PYTHON names a Python that has it, with torch and commcheck."""

import json
import shutil
import tempfile

import pytest
import ray_cluster
from job import JOB, TOPOLOGY, assert_found, assert_healthy, every_fault, struck

from commcheck.lab.lab import Lab

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("ray")]  # one process starts the cluster

PREFLIGHT = ("-m", "commcheck", "preflight", "--on", "ray", "--backend", "gloo", "--format", "json")


@pytest.fixture(scope="module")
def cluster():
    path = ray_cluster.python()
    if path is None:
        pytest.skip("no ray beside torch and commcheck (pip install ray, or COMMCHECK_RAY_PYTHON=...)")
    directory = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # the names of Ray's sockets must be short
    try:
        with Lab(TOPOLOGY) as lab, ray_cluster.cluster(lab, directory, path) as started:
            started.python = path
            yield started
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def driven(cluster, settings, *options):
    """A preflight on the head's host, which starts the ranks itself: its exit code, and its report."""
    given = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
    done = cluster.run(cluster.python, *PREFLIGHT, *given, *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("size", [4, pytest.param(8, marks=pytest.mark.whole)])
def test_healthy(cluster, size):
    settings = {"GLOO_SOCKET_IFNAME": JOB["GLOO_SOCKET_IFNAME"]}
    code, report = driven(cluster, settings, *(("--world-size", str(size)) if size != 4 else ()))
    assert code == 0, report
    assert_healthy(report, size=size)


@every_fault("rank-stopped")
def test_a_fault_is_named(cluster, cause):
    with struck(cluster.lab, cause) as (settings, inject):
        code, report = driven(cluster, settings, "--join-deadline", "20", *inject)
    assert code == 1
    assert_found(report, cause)
