"""What is made of pods: their states as a real API server told them, templates of one's own, and streams of documents."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.engines.base import Wanted
from commcheck.engines.detecting import engines
from commcheck.errors import InputError
from commcheck.runtime.kubectl import Documents
from commcheck.runtime.pod import Pod, pod_of, selects
from commcheck.runtime.podfile import template

TOLD = json.loads((Path(__file__).parent / "kubernetes" / "pods.json").read_text())["pods"]
SCHEMAS = json.loads((Path(__file__).parent / "kubernetes" / "schemas.json").read_text())["kinds"]
(KUBERNETES,) = [engine for engine in engines() if engine.name == "kubernetes"]


def seen(name: str) -> Pod:
    return pod_of(TOLD[name], "rank", frozenset({"rank"}))


@pytest.mark.parametrize(
    ("name", "started", "ended", "never", "why"),
    [
        ("running", True, False, False, ""),
        ("ended", True, True, False, ""),
        ("failed", True, True, False, "container rank: Error (exit code 3)"),
        ("oom", True, True, False, "container rank: OOMKilled (exit code 137)"),
        ("overdue", True, True, False, "DeadlineExceeded: Pod was active on the node longer than the specified deadline"),
        ("inits", False, False, False, ""),
        ("initfailed", False, True, True, "container set: Error (exit code 3)"),
        ("noimage", False, False, False, 'ErrImagePull: failed to pull and unpack image "docker.io/library/nothere:1"'),
        ("badname", False, False, True, "InvalidImageName: Failed to apply default image tag"),
        ("nevermind", False, False, True, 'ErrImageNeverPull: Container image "docker.io/library/nothere:2" is not present'),
        ("noconfig", False, False, True, 'CreateContainerConfigError: configmap "nothere" not found'),
        ("novolume", False, False, False, ""),
        ("unschedulable", False, False, False, "Unschedulable: 0/1 nodes are available"),
    ],
)  # fmt: skip
def test_a_pod_is_told_in_kubernetes_own_words(name, started, ended, never, why):
    pod = seen(name)
    assert (pod.started, pod.ended, pod.never, pod.index) == (started, ended, never, 0)
    assert pod.why.startswith(why)
    assert bool(pod.why) is bool(why)
    assert pod.name.startswith(f"rec-{name}-")


def test_an_image_that_could_not_be_pulled_twice_never_comes():
    told = json.loads(json.dumps(TOLD["noimage"]).replace("ErrImagePull", "ImagePullBackOff", 1))
    assert pod_of(told, "rank", frozenset({"rank"})).never


def test_a_proxy_beside_the_rank_is_told_and_does_not_keep_it_from_ending():
    pod = seen("sidecar")
    assert (pod.ended, pod.added) == (True, ("istio-proxy",))
    assert pod_of(TOLD["sidecar"], "rank", frozenset({"rank", "istio-proxy"})).added == ()


def test_what_else_an_api_says_of_a_pod_is_no_fault():
    assert pod_of({}, "rank", frozenset()) == Pod(name="", index=-1)
    assert not pod_of({"status": {"containerStatuses": [{"name": "rank", "state": None}]}}, "rank", frozenset()).started


@given(st.lists(st.dictionaries(st.text(), st.none() | st.text() | st.integers(), max_size=3), max_size=5), st.data())
def test_documents_come_in_any_blocks(documents, data):
    indent = data.draw(st.sampled_from([None, 1]))
    whole = "".join(json.dumps(d, indent=indent, ensure_ascii=False) + "\n" for d in documents).encode(
        "utf-8", "replace"
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    reader, found = Documents(), []
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += reader.feed(whole[begin:end])
    assert found == json.loads(json.dumps(documents))


# --- the manifest --------------------------------------------------------------------------------------------------

OWN = {
    "metadata": {"name": "mine", "labels": {"team": "a"}, "annotations": {"k8s.v1.cni.cncf.io/networks": "rdma"}},
    "spec": {
        "nodeName": "n7",
        "hostname": "mine",
        "nodeSelector": {"gpu": "h100"},
        "hostNetwork": True,
        "volumes": [{"name": "data", "emptyDir": {}}],
        "containers": [
            {
                "name": "trainer",
                "image": "mine:1",
                "command": ["python", "train.py"],
                "args": ["--epochs", "3"],
                "env": [{"name": "NCCL_SOCKET_IFNAME", "value": "eth1"}, {"name": "WORLD_SIZE", "value": "9"}],
                "resources": {"limits": {"rdma/hca": "1"}},
                "volumeMounts": [{"name": "data", "mountPath": "/dev/shm"}],
                "livenessProbe": {"exec": {"command": ["true"]}},
            },
            {"name": "logs", "image": "logs:2"},
        ],
    },
}


def job(**more):
    wanted = Wanted(nodes=2, ranks_per_node=2, options=("--backend", "nccl"), run="r1", gpus=2, **more)
    return json.loads(KUBERNETES.render(wanted).files[0][1])["items"][1]["spec"]["template"]


def test_the_job_s_own_pod_is_kept_but_for_what_it_runs():
    made = job(pod=OWN)
    spec, (ranks, logs) = made["spec"], made["spec"]["containers"]
    assert made["metadata"] == {name: OWN["metadata"][name] for name in ("labels", "annotations")}
    assert (spec["nodeSelector"], spec["hostNetwork"], logs) == (
        {"gpu": "h100"},
        True,
        {"name": "logs", "image": "logs:2"},
    )
    assert not {"nodeName", "hostname"} & spec.keys()  # all pods would be one
    assert (ranks["name"], ranks["image"]) == ("trainer", "mine:1")
    assert not {"args", "livenessProbe"} & ranks.keys()
    assert ranks["resources"]["limits"] == {"rdma/hca": "1", "nvidia.com/gpu": 2}
    assert {"name": "NCCL_SOCKET_IFNAME", "value": "eth1"} in ranks["env"]
    assert [e["value"] for e in ranks["env"] if e["name"] == "WORLD_SIZE"] == ["4"]
    assert [m["mountPath"] for m in ranks["volumeMounts"]] == ["/dev/shm"]  # the job's own
    assert spec["volumes"] == OWN["spec"]["volumes"]


def test_an_image_that_is_named_replaces_the_pod_s():
    assert job(pod=OWN, image="other:3")["spec"]["containers"][0]["image"] == "other:3"


def test_a_pod_that_fails_ends_no_other():
    for pod in ({}, {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}):
        wanted = Wanted(nodes=2, ranks_per_node=1, pod=pod, image="i")
        _, made = json.loads(KUBERNETES.render(wanted).files[0][1])["items"]
        jsonschema.validate(made, SCHEMAS["Job"])
        assert made["spec"]["backoffLimitPerIndex"] == 0
        assert "backoffLimit" not in made["spec"]


@pytest.mark.parametrize(("per_node", "index"), [(1, 0), (1, 3), (3, 0), (3, 2)])
def test_a_pod_s_shell_starts_its_ranks_and_waits_for_their_last_words(per_node, index, tmp_path):
    command = job()["spec"]["containers"][0]["command"]
    assert command[:2] == ["sh", "-c"]
    rank = tmp_path / "rank"
    rank.write_text(
        '#!/bin/sh\ntrap "echo $RANK ends; exit 1" TERM\necho $RANK of $LOCAL_RANK\nwhile :; do sleep 0.02; done\n'
    )
    rank.chmod(0o755)
    shell = subprocess.Popen(
        [*command[:4], str(rank)],
        env={"PATH": "/bin:/usr/bin", "LOCAL_WORLD_SIZE": str(per_node), "JOB_COMPLETION_INDEX": str(index)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as in a container
    )
    begun = [shell.stdout.readline().strip() for _ in range(per_node)]
    shell.terminate()
    rest = shell.communicate(timeout=20)[0].split("\n")
    ranks = range(index * per_node, (index + 1) * per_node)
    assert sorted(begun) == [f"{n} of {n - index * per_node}" for n in ranks]
    assert sorted(filter(None, rest)) == [f"{n} ends" for n in ranks]
    assert shell.returncode == 0


def test_what_its_controller_gave_a_pod_that_runs_and_what_the_api_refuses_is_left_out():
    given = json.loads(json.dumps(OWN))
    given["metadata"]["labels"] |= {"job-name": "j", "controller-uid": "u", "batch.kubernetes.io/job-name": "j"}
    given["spec"]["containers"][0]["resources"] = {
        "limits": {"nvidia.com/gpu": 8},
        "requests": {"nvidia.com/gpu": 8, "cpu": 1},
    }
    given["spec"]["volumes"] = [{"name": "shm", "emptyDir": {}}]
    given["spec"]["containers"][0]["volumeMounts"] = [{"name": "shm", "mountPath": "/mine"}]
    made = job(pod=given)
    assert made["metadata"]["labels"] == {"team": "a"}
    resources = made["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"nvidia.com/gpu": 2}, "requests": {"nvidia.com/gpu": 2, "cpu": 1}}
    assert [v["name"] for v in made["spec"]["volumes"]] == ["shm", "commcheck-shm"]
    assert made["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"  # it has the node's network


LABELS = {"app": "a", "tier": "b"}


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ({}, True),
        ({"matchLabels": {"app": "a"}}, True),
        ({"matchLabels": {"app": "x"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "none", "operator": "Exists"}]}, False),
    ],
)
def test_a_selector_means_what_kubernetes_means_by_it(selector, holds):
    assert selects(selector, LABELS) is holds


def test_a_sidecar_of_kubernetes_own_that_is_ended_after_the_rank_is_no_fault():
    told = json.loads(json.dumps(TOLD["ended"]))
    told["status"]["initContainerStatuses"] = [
        {"name": "proxy", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}}
    ]
    assert pod_of(told, "rank", frozenset({"rank"})).why == ""


# --- a manifest of one's own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "around",
    [
        lambda pod: {"kind": "Pod", **pod},
        lambda pod: {"kind": "Job", "metadata": {"name": "j"}, "spec": {"template": pod}},
        lambda pod: {
            "kind": "List",
            "items": [{"kind": "Service", "spec": {"ports": []}}, {"spec": {"template": pod}}],
        },
        lambda pod: {
            "kind": "PyTorchJob",
            "spec": {"pytorchReplicaSpecs": {"Master": {"replicas": 1, "template": pod}}},
        },
    ],
)
def test_the_pod_is_found_in_any_kind_of_job(around, tmp_path):
    file = tmp_path / "job.json"
    file.write_text(json.dumps(around(OWN)))
    assert template(str(file)) == OWN


@pytest.mark.parametrize("text", ["{}", "[]", '{"spec": {"containers": []}}', "3"])
def test_a_manifest_without_a_pod_is_one_clear_error(text, tmp_path):
    file = tmp_path / "job.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"job\.json: there is no pod in it"):
        template(str(file))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"spec": {"containers": ["x"]}}, "$.spec.containers[0]"),
        ({"spec": {"containers": [{"name": None}]}}, "$.spec.containers[0].name"),
        ({"spec": {"containers": [{"name": "c", "env": "A=b"}]}}, "$.spec.containers[0].env"),
        ({"spec": {"containers": [{"name": "c", "env": ["A=b"]}]}}, "$.spec.containers[0].env[0]"),
        ({"spec": {"containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": []}]}]}}, "mountPath"),
        ({"spec": {"containers": [{"name": "c", "resources": {"limits": [1]}}]}}, "resources.limits"),
        ({"spec": {"containers": [{"name": "c"}], "volumes": 3}}, "$.spec.volumes"),
        ({"spec": {"containers": [{"name": "c"}]}, "metadata": {"labels": ["a"]}}, "$.metadata.labels"),
        ({"spec": {"containers": [{"name": "c"}]}, "metadata": "x"}, "$.metadata"),
    ],
)
def test_a_pod_of_wrong_types_is_one_clear_error_that_says_where(change, where, tmp_path):
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"kind": "Job", "spec": {"template": change}}))
    with pytest.raises(InputError, match=r"job\.json: the pod in it is none") as caught:
        template(str(file))
    assert where in str(caught.value)


def test_a_manifest_that_is_nested_too_deeply_is_one_clear_error(tmp_path):
    file = tmp_path / "job.json"
    file.write_text("[" * 50_000)
    with pytest.raises(InputError, match="nested too deeply"):
        template(str(file))


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--on kubernetes: say how many pods are to be started: --nodes N"),
        (("--nodes", "2"), "--image IMAGE with commcheck and your torch in it, or --pod FILE"),
        (("--nodes", "2", "--image", "i", "--report-dir", "d"), "a directory here is none in kubernetes's pods"),
        (("--nodes", "2", "--world-size", "3", "--image", "i"), "3 ranks on 2 hosts"),
        (("--nodes", "0", "--image", "i"), "--nodes 0: must be at least 1"),
        (("--nodes", "2", "--pod", "nothere.yaml"), "--pod nothere.yaml: No such file"),
        (("--nodes", "2", "--image", "i", "--netns", "0:x"), "--netns: kubernetes starts the ranks"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_it_is_one_clear_error(arguments, says):
    done = preflight("--on", "kubernetes", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_options_of_an_engine_without_one_are_refused():
    done = preflight("--image", "i")
    assert (done.returncode, "--image: only for ranks that an engine starts: give --on" in done.stderr) == (2, True)


def test_without_kubectl_it_is_said_that_it_is_missing(tmp_path):
    done = preflight("--on", "kubernetes", "--nodes", "2", "--image", "i", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert "kubectl: No such file or directory: is it on PATH here?" in done.stderr


def preflight(*arguments: str, PATH: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:  # noqa: N803
    return subprocess.run(
        [sys.executable, "-m", "commcheck", "preflight", "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": PATH},
    )
