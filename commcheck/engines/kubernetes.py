"""Kubernetes: an Indexed Job, one pod per host, found by each other through a headless Service.

Source: kubernetes.io, "Job with Pod-to-Pod Communication" and batch/v1 (completionMode Indexed sets JOB_COMPLETION_INDEX).
The Kubeflow Trainer's pods are told by PET_NNODES and PET_NODE_RANK, which torchrun reads there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from commcheck.engines.base import Engine, Environ, Launch, Member, Wanted, number, present

_NO_IMAGE = "IMAGE-WITH-COMMCHECK-AND-YOUR-TORCH"


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
    items = [_service(wanted), _job(wanted, f"{wanted.name}-0.{wanted.name}")]
    return applied(wanted, {"apiVersion": "v1", "kind": "List", "items": items}, f"job-name={wanted.name}", "job")


def applied(wanted: Wanted, manifest: Mapping[str, object], selector: str, kind: str, done: str = "complete") -> Launch:
    """The commands for a manifest: the pods' logs are where the reports are."""
    file = f"{wanted.name}.json"
    logs = f"kubectl logs -l {selector} --prefix --tail=-1 --max-log-requests={max(wanted.nodes, 5)}"
    return Launch(
        commands=(
            f"kubectl apply -f {file}",
            f"kubectl wait --for=condition={done} --timeout=300s {kind}/{wanted.name}",
            logs if wanted.report_dir else f"{logs} | commcheck diagnose -",
            f"kubectl delete -f {file}",
        ),
        files=((file, json.dumps(manifest, indent=2) + "\n"),),
        notes=(
            *(() if wanted.image else (f"write your image in place of {_NO_IMAGE}",)),
            "a rank that finds a fault ends its pod with 1, and the wait with a time-out: the logs tell all the same",
            *(
                (f"mount one volume in all pods at {wanted.report_dir}, to merge the reports",)
                if wanted.report_dir
                else ()
            ),
        ),
    )


def container(wanted: Wanted, command: Sequence[str], name: str) -> dict[str, object]:
    """A pod's container that runs `command`."""
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108
    if wanted.report_dir:
        mounts.append({"name": "reports", "mountPath": wanted.report_dir})
    return {"name": name, "image": wanted.image or _NO_IMAGE, "command": list(command), "volumeMounts": mounts}


def volumes(wanted: Wanted) -> list[dict[str, object]]:
    """What `container` mounts."""
    shm: dict[str, object] = {"name": "shm", "emptyDir": {"medium": "Memory"}}  # a container's own has 64 MiB
    return [shm, {"name": "reports", "emptyDir": {}}] if wanted.report_dir else [shm]


def _service(wanted: Wanted) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": wanted.name},
        # Names have to resolve before a pod is ready: that is what the ranks wait for.
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"job-name": wanted.name}},
    }


def _job(wanted: Wanted, first: str) -> dict[str, object]:
    agent = (
        *("torchrun", f"--nnodes={wanted.nodes}", f"--nproc-per-node={wanted.ranks_per_node}"),
        *("--node-rank=$(JOB_COMPLETION_INDEX)", f"--master-addr={first}", f"--master-port={wanted.master_port}"),
        *("--no-python", *wanted.preflight),
    )
    pod = {
        "subdomain": wanted.name,
        "restartPolicy": "Never",
        "containers": [container(wanted, agent, "rank")],
        "volumes": volumes(wanted),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": wanted.name},
        "spec": {
            "completions": wanted.nodes,
            "parallelism": wanted.nodes,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"spec": pod},
        },
    }


ENGINE = Engine(name="kubernetes", detect=detect, render=render)
