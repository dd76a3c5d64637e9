"""Kubernetes: an Indexed Job, one pod per host, found by each other through a headless Service.

Source: kubernetes.io, "Job with Pod-to-Pod Communication" and batch/v1 (completionMode Indexed sets JOB_COMPLETION_INDEX).
The Kubeflow Trainer's pods are told by PET_NNODES and PET_NODE_RANK, which torchrun reads there.
"""

from __future__ import annotations

import json

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
    file = f"{wanted.name}.json"
    first = f"{wanted.name}-0.{wanted.name}"
    items = [_service(wanted), _job(wanted, first)]
    manifest = {"apiVersion": "v1", "kind": "List", "items": items}
    selector = f"job-name={wanted.name}"
    return Launch(
        commands=(
            f"kubectl apply -f {file}",
            f"kubectl wait --for=condition=complete --timeout=300s job/{wanted.name}",
            f"kubectl logs -l {selector} --prefix --tail=-1",
            f"kubectl delete -f {file}",
        ),
        files=((file, json.dumps(manifest, indent=2) + "\n"),),
        notes=(
            *(() if wanted.image else (f"write your image in place of {_NO_IMAGE}",)),
            "each pod's log is that rank's own view; mount one volume in all pods at the report directory to merge them",
        ),
    )


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
        *("--no-python", "commcheck", "preflight", "--report-dir", wanted.report_dir, *wanted.options),
    )
    container = {
        "name": "rank",
        "image": wanted.image or _NO_IMAGE,
        "command": list(agent),
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "reports", "mountPath": wanted.report_dir}],  # noqa: S108
    }
    volumes: list[dict[str, object]] = [
        {"name": "shm", "emptyDir": {"medium": "Memory"}},  # a container's own has 64 MiB
        {"name": "reports", "emptyDir": {}},
    ]
    pod = {"subdomain": wanted.name, "restartPolicy": "Never", "containers": [container], "volumes": volumes}
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
