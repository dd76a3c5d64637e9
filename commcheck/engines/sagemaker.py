"""Amazon SageMaker: one container per host, which knows all hosts by SM_HOSTS and itself by SM_CURRENT_HOST.

Source: aws/sagemaker-training-toolkit, ENVIRONMENT_VARIABLES.md. Where its launcher is mpirun or torchrun, these speak for
their processes.
"""

from __future__ import annotations

import json

from commcheck.engines.base import Engine, Environ, Member, present


def detect(environ: Environ) -> Member | None:
    """A host's entry point that is itself the one rank of its host. With several GPUs there will be others."""
    try:
        hosts = json.loads(environ.get("SM_HOSTS", "null"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        return None
    own, hosts = environ.get("SM_CURRENT_HOST", ""), sorted(hosts)
    if len(hosts) < 2 or hosts.count(own) != 1 or environ.get("SM_NUM_GPUS", "0") not in {"0", "1"}:
        return None
    return Member(
        engine="sagemaker",
        rank=hosts.index(own),
        world_size=len(hosts),
        local_rank=0,
        local_world_size=1,
        first_host=hosts[0],
        read=present(environ, "SM_HOSTS", "SM_CURRENT_HOST", "SM_NUM_GPUS"),
    )


ENGINE = Engine(name="sagemaker", detect=detect)
