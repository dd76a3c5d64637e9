"""Kubernetes: an Indexed Job, one pod per host, found by each other through a headless Service.

Source: kubernetes.io, "Job with Pod-to-Pod Communication" and batch/v1 (completionMode Indexed sets JOB_COMPLETION_INDEX).
The Kubeflow Trainer's pods are told by PET_NNODES and PET_NODE_RANK, which torchrun reads there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from commcheck.engines.base import RUN, Allocation, Engine, Environ, Launch, Member, Wanted, number, present

_NO_IMAGE = "IMAGE-WITH-COMMCHECK-AND-YOUR-TORCH"
_DRIVEN = "commcheck preflight --on kubernetes does all of it, and tells what keeps a pod from starting"
KEPT = 600
"""Seconds after which the cluster deletes a Job that has ended, where nobody else has."""
LONGEST = 3600
"""Seconds after which it ends a Job of which pods wait for ever."""
_GRACE = 5
"""Seconds for the ranks' last words, where a pod is ended."""
_SHM = "/dev/shm"  # noqa: S108
_SHM_VOLUME, _REPORTS_VOLUME = "commcheck-shm", "commcheck-reports"  # a job's own pod may have a volume "shm"
# No agent between: torchrun's wait for each other in silence, and where one pod does not come none starts a rank. Nor does the
# exit code of a rank become the pod's: what a rank has found is in what it says.
_RANKS = (
    "trap 'trap \"\" TERM; kill 0' TERM; n=0; "
    'while [ "$n" -lt "$LOCAL_WORLD_SIZE" ]; do '
    'LOCAL_RANK=$n RANK=$((JOB_COMPLETION_INDEX * LOCAL_WORLD_SIZE + n)) "$@" & n=$((n + 1)); done; '
    "wait; wait"
)
"""For a shell in each pod: start its ranks, and wait for them; where the pod is ended, for their last words."""


def detect(environ: Environ) -> Member | None:
    """A pod of an Indexed Job whose manifest gives WORLD_SIZE: one rank per pod."""
    index, size = number(environ, "JOB_COMPLETION_INDEX"), number(environ, "WORLD_SIZE")
    if index is None or size is None or index >= size or "KUBERNETES_SERVICE_HOST" not in environ:
        return None
    return Member(
        engine="kubernetes",
        rank=index,
        world_size=size,
        local_rank=0,
        local_world_size=1,
        first_host=environ.get("MASTER_ADDR", ""),
        read=present(environ, "JOB_COMPLETION_INDEX", "WORLD_SIZE", "MASTER_ADDR"),
    )


def render(wanted: Wanted) -> Launch:
    """The Service and the Job, and the commands that create them, follow them and delete them."""
    items = [_service(wanted), _job(wanted)]
    whole = {"apiVersion": "v1", "kind": "List", "items": items}
    return applied(wanted, whole, f"job-name={wanted.name}", "job", note=_DRIVEN)


def applied(
    wanted: Wanted,
    manifest: Mapping[str, object],
    selector: str,
    kind: str,
    *,
    done: str = "complete",
    note: str = "a rank that finds a fault ends its pod with 1, and the wait with a time-out: the logs tell all the same",
) -> Launch:
    """The commands for a manifest: the pods' logs are where the reports are."""
    file, text = f"{wanted.name}.json", json.dumps(manifest, indent=2) + "\n"
    logs = f"kubectl logs -l {selector} --prefix --tail=-1 --max-log-requests={max(wanted.nodes, 5)}"
    return Launch(
        commands=(
            f"kubectl apply -f {file}",
            f"kubectl wait --for=condition={done} --timeout=300s {kind}/{wanted.name}",
            logs if wanted.report_dir else f"{logs} | commcheck diagnose -",
            f"kubectl delete -f {file}",
        ),
        files=((file, text),),
        notes=(
            *((f"write your image in place of {_NO_IMAGE}",) if _NO_IMAGE in text else ()),
            note,
            *(
                (f"mount one volume in all pods at {wanted.report_dir}, to merge the reports",)
                if wanted.report_dir
                else ()
            ),
        ),
    )


def container(wanted: Wanted, command: Sequence[str], name: str) -> dict[str, Any]:
    """A pod's container that runs `command`."""
    mounts = [{"name": _SHM_VOLUME, "mountPath": _SHM}]
    if wanted.report_dir:
        mounts.append({"name": _REPORTS_VOLUME, "mountPath": wanted.report_dir})
    return {"name": name, "image": wanted.image or _NO_IMAGE, "command": list(command), "volumeMounts": mounts}


def volumes(wanted: Wanted) -> list[dict[str, object]]:
    """What `container` mounts."""
    shm: dict[str, object] = {"name": _SHM_VOLUME, "emptyDir": {"medium": "Memory"}}  # a container's own has 64 MiB
    return [shm, {"name": _REPORTS_VOLUME, "emptyDir": {}}] if wanted.report_dir else [shm]


def _service(wanted: Wanted) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": wanted.name},
        # Names have to resolve before a pod is ready: that is what the ranks wait for.
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"job-name": wanted.name}},
    }


def _job(wanted: Wanted) -> dict[str, object]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": wanted.name},
        "spec": {
            "completions": wanted.nodes,
            "parallelism": wanted.nodes,
            "completionMode": "Indexed",
            # One pod that fails would end all others before they have said what they know (Kubernetes 1.29 and later).
            "backoffLimitPerIndex": 0,
            "activeDeadlineSeconds": LONGEST,
            "ttlSecondsAfterFinished": KEPT,
            "template": _template(wanted),
        },
    }


def _template(wanted: Wanted) -> dict[str, object]:
    """The job's own pod where one is given, whose first container then runs the ranks; else a pod with nothing special."""
    given = wanted.pod
    own = {name: value for name, value in (given.get("spec") or {}).items() if name not in _OF_A_POD}
    first, *others = own.get("containers") or [{"name": "rank"}]
    made = container(wanted, ("sh", "-c", _RANKS, "sh", *wanted.preflight), first.get("name", "rank"))
    mounts = list(first.get("volumeMounts") or ())
    there = {mount.get("mountPath") for mount in mounts}
    new = [mount for mount in made["volumeMounts"] if mount["mountPath"] not in there]
    names = {mount["name"] for mount in new}
    ranks = {
        **{name: value for name, value in first.items() if name not in _OF_THE_JOB},
        **made,
        "image": wanted.image or first.get("image") or _NO_IMAGE,
        "volumeMounts": [*mounts, *new],
        "env": [*(e for e in first.get("env") or () if e.get("name") not in _SET), *_environment(wanted)],
    }
    if wanted.gpus:
        resources = dict(first.get("resources") or {})
        for kind in ("limits", "requests"):  # for such resources both have to be the same, or requests be left out
            if kind == "limits" or _GPU in (resources.get(kind) or {}):
                resources[kind] = {**(resources.get(kind) or {}), _GPU: wanted.gpus}
        ranks["resources"] = resources
    pod = {
        **own,
        "subdomain": wanted.name,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE,
        "containers": [ranks, *others],
        "volumes": [*(own.get("volumes") or ()), *(v for v in volumes(wanted) if v["name"] in names)],
    }
    pod.setdefault("topologySpreadConstraints", [_spread(wanted)])
    if pod.get("hostNetwork"):  # else such pods ask the node's name servers, which know no pods
        pod.setdefault("dnsPolicy", "ClusterFirstWithHostNet")
    metadata = given.get("metadata") or {}
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if not _of_another_job(name)}
    kept = {"labels": labels, "annotations": metadata.get("annotations")}
    return {"metadata": {name: value for name, value in kept.items() if value}, "spec": pod}


def _of_another_job(label: str) -> bool:
    """A label that its controller has given a pod that runs."""
    return label in ("job-name", "controller-uid") or label.startswith("batch.kubernetes.io/")


_OF_THE_JOB = ("args", "command", "lifecycle", "livenessProbe", "ports", "readinessProbe", "startupProbe", "workingDir")
"""Of a container, what belongs to the program that is not run here."""
_GPU = "nvidia.com/gpu"
_OF_A_POD = ("hostname", "nodeName")
"""Of a pod, what makes it one and no other."""
_SET = frozenset({"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", RUN})


def _environment(wanted: Wanted) -> list[dict[str, str]]:
    told = {
        "WORLD_SIZE": str(wanted.world_size),
        "LOCAL_WORLD_SIZE": str(wanted.ranks_per_node),
        "MASTER_ADDR": f"{wanted.name}-0.{wanted.name}",
        "MASTER_PORT": str(wanted.master_port),
        **({RUN: wanted.run} if wanted.run else {}),
    }
    return [{"name": name, "value": value} for name, value in told.items()]


def _spread(wanted: Wanted) -> dict[str, object]:
    """On as many nodes as there are: two pods of one node show nothing of the network between nodes."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"job-name": wanted.name}},
    }


ENGINE = Engine(
    name="kubernetes",
    detect=detect,
    render=render,
    asked=Allocation(engine="kubernetes"),
    carrier="commcheck.runtime.pods",
)
