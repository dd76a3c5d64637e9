"""A real Kubernetes cluster, where kubectl reaches one. COMMCHECK_TEST_POD names the manifest of a pod that runs there, with
commcheck and torch in it, `sh`, and an interface eth0."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from commcheck.runtime.podfile import template

MANIFEST = os.environ.get("COMMCHECK_TEST_POD", "")
pytestmark = [
    pytest.mark.skipif(not MANIFEST, reason="COMMCHECK_TEST_POD names no pod that would run in a Kubernetes cluster"),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here"),
]
WITHIN = 300
"""Seconds for a world in pods, of which the cluster may take most."""
WITHOUT_WAITING = 60.0
"""Far less than pods are waited for that may still come."""


def preflight(pod, *options):
    words = ("preflight", "--quiet", "--on", "kubernetes", "--nodes", "3", "--backend", "gloo", "--pod", str(pod))
    return [sys.executable, "-m", "commcheck", *words, "--format", "json", *options]


def told(pod, *options):
    done = subprocess.run(preflight(pod, *options), capture_output=True, text=True, timeout=WITHIN, check=False)
    report = json.loads(done.stdout)
    lead = report["diagnoses"][0] if report["diagnoses"] else {"cause": "", "ranks": []}
    assert nothing_is_left()
    return done.returncode, lead["cause"], tuple(lead["ranks"]), report


def nothing_is_left():
    words = ("kubectl", "get", "jobs,pods,services", "-o", "name")
    return not [name for name in subprocess.check_output(words, text=True).split() if "/commcheck-" in name]


@pytest.fixture
def pod(tmp_path):
    """Writes the pod that runs here, changed."""

    def written(change=None):
        whole = {"apiVersion": "v1", "kind": "Pod", **template(MANIFEST)}
        if change is not None:
            change(whole["spec"], whole["spec"]["containers"][0])
        file = tmp_path / "pod.json"
        file.write_text(json.dumps(whole))
        return file

    return written


def test_healthy(pod):
    code, _, _, report = told(pod())
    assert (code, report["verdict"], report["world"]["size"], len(report["world"]["hosts"])) == (0, "healthy", 3, 3)


@pytest.mark.parametrize(
    ("options", "cause", "ranks"),
    [
        (("--inject", "1:kill"), "rank-killed", (1,)),
        (("--env", "GLOO_SOCKET_IFNAME=eth9"), "interface-missing", (0, 1, 2)),
        (("--inject", "2:other-shape"), "collective-shape-mismatch", (2,)),
        (("--env", "MASTER_ADDR=nothere.invalid", "--join-deadline", "15"), "host-unresolvable", (0, 1, 2)),
    ],
)
def test_a_fault_is_named_from_what_the_pods_say(pod, options, cause, ranks):
    assert told(pod(), *options)[:3] == (1, cause, ranks)


def test_a_pod_that_comes_late_is_waited_for_and_its_name_too(pod):
    def late(spec, first):
        script = '[ "$JOB_COMPLETION_INDEX" = 0 ] && sleep 12; exit 0'
        spec["initContainers"] = [{"name": "late", "image": first["image"], "command": ["sh", "-c", script]}]

    assert told(pod(late))[0] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda spec, first: spec.update(nodeSelector={"nothere": "x"}), "Unschedulable"),
        (lambda spec, first: first.update(image="registry.invalid/nothere:1"), "ErrImage"),
        (lambda spec, first: first.update(image="Not A Name"), "InvalidImageName"),
    ],
)
def test_pods_that_do_not_start_are_told_in_kubernetes_own_words(pod, change, says):
    code, cause, _, report = told(pod(change), "--join-deadline", "20")
    assert (code, cause) == (1, "launcher-failure")
    assert says in json.dumps(report["diagnoses"][0]["evidence"])


def test_one_pod_that_never_starts_is_told_at_once_and_why(pod):
    """What the others know by then is that nobody has come yet, or that it is this rank that has not."""

    def fails(spec, first):
        script = '[ "$JOB_COMPLETION_INDEX" = 1 ] && exit 3; exit 0'
        spec["initContainers"] = [{"name": "set", "image": first["image"], "command": ["sh", "-c", script]}]

    code, cause, ranks, report = told(pod(fails))
    assert code == 1
    assert (cause, ranks) in {("launcher-failure", ()), ("rank-missing", (1,))}
    assert "has not started: container set: Error (exit code 3)" in json.dumps(report)
    assert report["seconds"] < WITHOUT_WAITING


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_is_deleted_also_when_it_is_ended(pod, how):
    running = subprocess.Popen(preflight(pod(), "--inject", "1:stop"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: not nothing_is_left())
    running.send_signal(how)
    running.communicate(timeout=60)
    until(nothing_is_left)


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.3)
