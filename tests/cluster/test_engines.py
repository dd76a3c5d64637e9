"""A preflight under a real Slurm between virtual hosts: joined by srun, and driven from a batch script."""

import json
import os
import subprocess

import pytest
import slurm
from job import COMMCHECK, TOPOLOGY, assert_found, assert_healthy, every_fault, judged, struck

from commcheck.lab.lab import Lab

torch = pytest.importorskip("torch")

SRUN = ("srun", "-N4", "-n4", "--kill-on-bad-exit=0", "--export=ALL")
PREFLIGHT = (*COMMCHECK, "preflight", "--quiet", "--backend", "gloo")
SHORT = ("--join-deadline", "20")
HERE = {"PYTHONPATH": os.getcwd()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := slurm.missing():
        pytest.skip(reason)
    with Lab(TOPOLOGY) as lab, slurm.cluster(lab, tmp_path_factory.mktemp("slurm")) as started:
        yield started


def test_srun_alone_is_enough_to_join(cluster, tmp_path):
    """No RANK, no MASTER_ADDR: Slurm's own variables say who each rank is and where the first one runs."""
    done = cluster.run(*SRUN, *PREFLIGHT, "--report-dir", str(tmp_path), **HERE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "slurm says which rank this is" in " ".join(done.stdout.split())
    merged = subprocess.run(
        [*COMMCHECK, "diagnose", "--format", "json", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert_healthy(json.loads(merged.stdout))


@every_fault("interface-missing")
def test_a_fault_is_named_through_srun(cluster, tmp_path, cause):
    with struck(cluster.lab, cause) as (settings, inject):
        done = cluster.run(*SRUN, *PREFLIGHT, *SHORT, "--report-dir", str(tmp_path), *inject, **HERE, **settings)
    assert done.returncode == 1
    merged = subprocess.run(
        [*COMMCHECK, "diagnose", "--format", "json", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert_found(json.loads(merged.stdout), cause)


@pytest.mark.parametrize("label", [pytest.param((), marks=pytest.mark.whole, id="plain"), ("--label",)])
def test_no_shared_directory_is_needed(cluster, label):
    done = cluster.run(*SRUN, *label, *PREFLIGHT, "--report-to", "stdout", **HERE)
    code, report = judged(done.stdout)
    assert (done.returncode, code) == (0, 0)
    assert_healthy(report)
    people = [line for line in done.stdout.splitlines() if "@commcheck1;" not in line]
    assert len(people) == 4
    assert all("healthy: 4 ranks, gloo" in line for line in people)


@every_fault("interface-missing")
def test_a_fault_is_named_from_what_srun_passes_on(cluster, cause):
    with struck(cluster.lab, cause) as (settings, inject):
        done = cluster.run(*SRUN, "--label", *PREFLIGHT, *SHORT, "--report-to", "stdout", *inject, **HERE, **settings)
    code, report = judged(done.stdout)
    assert (done.returncode, code) == (1, 1)
    assert_found(report, cause)


@pytest.mark.whole
def test_a_host_that_says_nothing_is_missing(cluster):
    """The task of h2 never comes to commcheck, and the others' records say the rest."""
    words = " ".join((*PREFLIGHT, *SHORT[:1], "4", "--report-to", "stdout"))
    done = cluster.run(*SRUN, "bash", "-c", f'[ "$SLURM_PROCID" = 2 ] || exec {words}', **HERE)
    code, report = judged(done.stdout)
    first = report["diagnoses"][0]
    assert (code, first["cause"], first["ranks"]) == (1, "rank-missing", [2])


# --- driven ----------------------------------------------------------------------------------------------------


def driven(cluster, *options, **environment):
    """A preflight in the shell that salloc gives, where it starts the ranks itself."""
    done = cluster.run("salloc", "-N4", *PREFLIGHT, "--format", "json", *options, **HERE, **environment)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_in_an_allocation_it_starts_the_ranks_itself(cluster):
    code, report = driven(cluster, "--world-size", "8")
    assert code == 0
    assert_healthy(report, size=8)
    assert "slurm started the ranks: srun --nodes=4 --ntasks-per-node=2" in report["notes"][0]
    assert report["command"][:2] == ["commcheck", "preflight"]


@every_fault("rank-stopped")
def test_a_fault_is_named_in_an_allocation(cluster, cause):
    with struck(cluster.lab, cause) as (settings, inject):
        code, report = driven(cluster, *SHORT, *inject, **settings)
    assert code == 1
    assert_found(report, cause)


@pytest.mark.whole
def test_in_a_batch_script_its_exit_code_is_the_job_s(cluster, tmp_path):
    script, output = tmp_path / "job.sh", tmp_path / "job.log"
    script.write_text("#!/bin/bash\nexec " + " ".join(PREFLIGHT) + "\n")
    shape = ("-N4", "--wait", f"--output={output}", f"--chdir={tmp_path}")
    done = cluster.run("sbatch", *shape, str(script), **HERE, GLOO_SOCKET_IFNAME="nope0")
    assert done.returncode == 1, output.read_text()
    assert output.read_text().startswith("UNHEALTHY  4 ranks, gloo: interface-missing on ranks 0-3")


def test_what_srun_refuses_is_its_failure(cluster):
    code, report = driven(cluster, SLURM_DISTRIBUTION="nonsense")
    assert (code, report["diagnoses"][0]["cause"]) == (1, "launcher-failure")


def test_an_engine_that_starts_nothing_is_not_waited_for_and_no_verdict(cluster):
    """srun waits without an end for hosts that there are none of."""
    options = ("--join-deadline", "2")
    done = cluster.run("salloc", "-N4", *PREFLIGHT, *options, **HERE, SLURM_CONSTRAINT="nowhere")
    assert done.returncode == 3
    assert "srun was ended, since nothing came in time" in done.stderr


def test_what_it_has_started_ends_with_it(cluster, tmp_path):
    """Killed, it can tell srun nothing; srun ends all the same, and its ranks with it."""
    script = tmp_path / "job.sh"
    script.write_text(
        f"{' '.join((*PREFLIGHT, '--inject', '2:late@verify=60'))} &\n"
        "there() { pgrep -f '^srun .*late@verify=60' >&2; }\n"
        'within() { for n in $(seq 300); do "$@" && return 0; sleep 0.1; done; return 1; }\n'
        "within there || exit 8\n"
        "kill -KILL $!\n"
        "gone() { ! there; }\n"
        "within gone || exit 9\n"
    )
    done = cluster.run("salloc", "-N4", "bash", str(script), **HERE)
    assert done.returncode == 0, done.stdout + done.stderr
