"""A preflight under a real mpirun between virtual hosts: Open MPI's and MPICH's, started as over ssh."""

import mpi
import pytest
from job import COMMCHECK, JOB, TOPOLOGY, assert_found, assert_healthy, every_fault, judged, struck

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


@KINDS
def test_healthy(lab, tmp_path, kind):
    code, text, errors = launched(kind, lab, tmp_path, JOB)
    assert code == 0, errors
    judgement, report = judged(text)
    assert judgement == 0
    assert_healthy(report)


@KINDS
@every_fault("port-dropped")
def test_a_fault_is_named(lab, tmp_path, kind, cause):
    with struck(lab, cause) as (settings, inject):
        code, text, _ = launched(kind, lab, tmp_path, settings, "--join-deadline", "20", *inject)
    judgement, report = judged(text)
    assert (code, judgement) == (1, 1)
    assert_found(report, cause)
