"""Kubeflow's Training Operator: a PyTorchJob (kubeflow.org/v1), of which each pod runs torchrun.

Source: kubeflow/trainer, branch release-1.9: pkg/controller.v1/pytorch/envvar.go (RANK and WORLD_SIZE of a pod are its number
and the number of pods; MASTER_ADDR, MASTER_PORT, PET_NNODES, PET_NODE_RANK), pkg/apis/kubeflow.org/v1/pytorch_types.go.
"""

from __future__ import annotations

from commcheck.engines.base import Engine, Environ, Launch, Member, Wanted
from commcheck.engines.kubernetes import applied, container, volumes


def detect(_: Environ) -> Member | None:
    """RANK and WORLD_SIZE are set, and what sets them says no more of a process than they do."""
    return None


def render(wanted: Wanted) -> Launch:
    """The first pod is the Master, the others are Workers."""
    command = (
        *("torchrun", f"--nnodes={wanted.nodes}", f"--nproc-per-node={wanted.ranks_per_node}"),
        *("--node-rank=$(RANK)", "--master-addr=$(MASTER_ADDR)", "--master-port=$(MASTER_PORT)"),
        *("--no-python", *wanted.preflight),
    )
    # The operator looks for a container of this name.
    pod = {"containers": [container(wanted, command, "pytorch")], "volumes": volumes(wanted)}

    def replicas(count: int) -> dict[str, object]:
        return {"replicas": count, "restartPolicy": "Never", "template": {"spec": pod}}

    workers = {"Worker": replicas(wanted.nodes - 1)} if wanted.nodes > 1 else {}
    manifest = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": wanted.name},
        "spec": {"runPolicy": {"backoffLimit": 0}, "pytorchReplicaSpecs": {"Master": replicas(1), **workers}},
    }
    selector = f"training.kubeflow.org/job-name={wanted.name}"
    return applied(wanted, manifest, selector, "pytorchjob", done="Succeeded")


ENGINE = Engine(name="pytorchjob", detect=detect, render=render)
