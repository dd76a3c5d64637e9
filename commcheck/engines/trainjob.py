"""Kubeflow Trainer: a TrainJob (trainer.kubeflow.org/v1alpha1) with the runtime torch-distributed, of which each pod runs
torchrun.

Source: kubeflow/trainer, pkg/constants/constants.go (PET_NNODES, PET_NODE_RANK, PET_NPROC_PER_NODE, PET_MASTER_ADDR,
PET_MASTER_PORT, which torchrun reads), pkg/apis/trainer/v1alpha1, manifests/base/runtimes/torch_distributed.yaml.
"""

from __future__ import annotations

from commcheck.engines.base import Engine, Environ, Launch, Member, Wanted, number, present
from commcheck.engines.kubernetes import applied, container

_READ = ("PET_NODE_RANK", "PET_NNODES", "PET_NPROC_PER_NODE", "PET_MASTER_ADDR", "PET_MASTER_PORT")


def detect(environ: Environ) -> Member | None:
    """A pod that is to run one process, and has been started without torchrun: its node is its rank."""
    rank, size = number(environ, "PET_NODE_RANK"), number(environ, "PET_NNODES")
    if rank is None or size is None or rank >= size or environ.get("PET_NPROC_PER_NODE") != "1":
        return None
    return Member(
        engine="trainjob",
        rank=rank,
        world_size=size,
        local_rank=0,
        local_world_size=1,
        first_host=environ.get("PET_MASTER_ADDR", ""),
        port=number(environ, "PET_MASTER_PORT"),
        read=present(environ, *_READ),
    )


def render(wanted: Wanted) -> Launch:
    """The runtime gives torchrun its settings, in variables."""
    trainer = container(wanted, ("torchrun", "--no-python", *wanted.preflight), "node")
    manifest = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": wanted.name},
        "spec": {
            "runtimeRef": {"name": "torch-distributed"},
            "trainer": {
                "image": trainer["image"],
                "command": trainer["command"],
                "numNodes": wanted.nodes,
                "numProcPerNode": wanted.ranks_per_node,
            },
        },
    }
    return applied(wanted, manifest, f"jobset.sigs.k8s.io/jobset-name={wanted.name}", "trainjob", done="Complete")


ENGINE = Engine(name="trainjob", detect=detect, render=render)
