"""The images and the compose hosts, built and run by an engine that is there already; without one, skipped.

COMMCHECK_DOCKER_BASE names a base image that the engine has, where no registry can be reached, and
COMMCHECK_DOCKER_PIP_ARGS what pip is told then ("--no-index": all wheels are in docker/wheels)."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "docker" / "run"
BASE = os.environ.get("COMMCHECK_DOCKER_BASE", "")
PIP_ARGS = os.environ.get("COMMCHECK_DOCKER_PIP_ARGS", "")
PREFLIGHT, LAB = "commcheck-preflight:test", "commcheck-lab:test"
ENVIRONMENT = {**os.environ, "COMMCHECK_LAB_IMAGE": LAB, "COMPOSE_PROJECT_NAME": "commcheck-test", "FORMAT": "json"}

pytestmark = [pytest.mark.xdist_group("docker"), pytest.mark.timeout(600)]


def docker(*arguments, timeout=120):
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def need(what, done):
    if done.returncode != 0:
        pytest.skip(f"{what}: {(done.stderr.strip() or done.stdout.strip() or 'no answer').splitlines()[-1]}")


@pytest.fixture(scope="module")
def engine():
    need("no Docker engine", docker("info", "--format", "{{.ServerVersion}}", timeout=10))
    need("no BuildKit, which a .dockerignore of its own needs", docker("buildx", "version", timeout=10))
    base = BASE or "python:3.11-slim-bookworm"
    if docker("image", "inspect", base).returncode != 0:
        need(f"no base image {base} (COMMCHECK_DOCKER_BASE names another)", docker("pull", "--quiet", base))


@pytest.fixture(scope="module")
def images(engine):
    arguments = [f"BASE={BASE}"] if BASE else []
    arguments += [f"PIP_ARGS={PIP_ARGS}"] if PIP_ARGS else []
    options = [option for argument in arguments for option in ("--build-arg", argument)]
    for target, tag in (("preflight", PREFLIGHT), ("lab", LAB)):
        done = docker(
            "build", "--file", str(ROOT / "docker" / "Dockerfile"), "--target", target, "--tag", tag, *options, str(ROOT),
            timeout=500,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    yield
    docker("image", "rm", "--force", PREFLIGHT, LAB)


@pytest.fixture
def compose(images):
    need("no docker compose", docker("compose", "version", timeout=10))


def world(*faults):
    done = subprocess.run(
        [str(RUN), *faults], env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_fault_that_is_not_known_is_wrong_usage_before_anything_is_started():
    done = subprocess.run([str(RUN), "h9:drop"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert "HOST:FAULT" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "verdict"), [((), 0, "healthy"), (("GLOO_SOCKET_IFNAME=nope0",), 1, "unhealthy")]
)
def test_an_init_container_ends_with_the_verdicts_exit_code(images, cores, options, code, verdict):
    arguments = [part for option in options for part in ("--env", option)]
    with cores():
        done = docker("run", "--rm", "--init", *arguments, PREFLIGHT, "--no-fix", "--quiet", "--format", "json")
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["verdict"] == verdict


def test_an_init_container_is_not_root(images):
    done = docker("run", "--rm", "--entrypoint", "id", PREFLIGHT, "-u")
    assert done.stdout.strip() == "10001"


def test_a_world_across_four_containers_is_healthy(compose, cores):
    with cores():
        code, report = world()
    assert (code, report["verdict"], report["world"]["distinct_processes"]) == (0, "healthy", 4)
    assert {c["interface"] for c in report["world"]["proof"] if c["purpose"] == "data"} == {"eth0"}


@pytest.mark.parametrize(
    ("fault", "cause", "ranks"),
    [
        ("h0:drop", "port-dropped", [0]),
        ("h1:drop=!= 29500", "one-way-blocked", [1]),
        ("h2:MASTER_PORT=29501", "port-mismatch", [2]),
    ],
)
def test_a_fault_in_one_container_is_found_and_blamed(compose, cores, fault, cause, ranks):
    with cores():
        code, report = world(fault)
    assert (code, report["verdict"]) == (1, "unhealthy")
    assert (report["diagnoses"][0]["cause"], report["diagnoses"][0]["ranks"]) == (cause, ranks)


def test_a_scenario_runs_inside_one_container(images, cores):
    options = ["--rm", "--init", "--privileged", "--network", "none"]
    with cores():
        done = docker("run", *options, LAB, "scenario", "run", "rendezvous/port-refused")
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_left(compose):
    label = "label=com.docker.compose.project=commcheck-test"
    for what in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        assert docker(*what, "--quiet", "--filter", label).stdout == ""
