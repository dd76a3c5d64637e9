"""Ray: a placement group with a bundle per host, one actor per rank. Ray sets no rank in the environment: the driver does.

Source: docs.ray.io, ray.util.placement_group and ray.util.scheduling_strategies; Ray Train's _share_cuda_visible_devices.
"""

from __future__ import annotations

import shlex

from commcheck.engines.base import Allocation, Engine, Environ, Launch, Member, Wanted

_DRIVER = '''"""Runs a preflight on a Ray cluster: python {file}

Each rank's output comes back as a return value, through Ray's object store."""
import os, subprocess, sys
import ray
from ray.util import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

# 0: all nodes that are alive; as many ranks on each as it has GPUs, else one.
NODES, PER_NODE, SIZE, PORT = {nodes}, {per_node}, {size}, {port}
COMMAND = {command!r}
WAIT = 60  # seconds for Ray to find room for a rank on every node


@ray.remote
class Rank:
    def where(self):
        return ray.util.get_node_ip_address(), [str(gpu) for gpu in ray.get_gpu_ids()]

    def run(self, settings):
        here = {{**os.environ, **settings}}
        done = subprocess.run(COMMAND, env=here, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout


def main():
    ray.init(address=os.environ.get("RAY_ADDRESS") or "auto", logging_level="error", log_to_driver=False)
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes = NODES or len(alive)
    gpus = int(min(resources.get("GPU", 0) for resources in alive))
    per_node = PER_NODE or (SIZE // nodes if SIZE else gpus or 1)
    if SIZE and per_node * nodes != SIZE:
        sys.exit(f"{{SIZE}} ranks cannot be shared out evenly among {{nodes}} nodes")
    each = {{"CPU": 1, **({{"GPU": per_node}} if gpus >= per_node else {{}})}}
    group = placement_group([each] * nodes, strategy="STRICT_SPREAD")
    if not group.wait(WAIT):
        sys.exit(f"Ray has no room for a bundle of {{each}} on each of {{nodes}} nodes: {{len(alive)}} are alive (ray status)")
    ranks = [
        Rank.options(
            num_cpus=0,
            num_gpus=int("GPU" in each),
            max_restarts=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=n // per_node),
        ).remote()
        for n in range(nodes * per_node)
    ]
    places = ray.get([rank.where.remote() for rank in ranks])
    # Ray fills bundles in any order; rank 0 shall be on the first host each time.
    order = sorted(range(len(ranks)), key=lambda n: (len(places[n][0]), places[n][0], n))
    ranks, places = [ranks[n] for n in order], [places[n] for n in order]
    common = {{"WORLD_SIZE": str(len(ranks)), "LOCAL_WORLD_SIZE": str(per_node), "MASTER_ADDR": places[0][0], "MASTER_PORT": str(PORT)}}
    common |= {{name: os.environ[name] for name in ("COMMCHECK_RUN",) if name in os.environ}}
    running = {{}}
    for n, rank in enumerate(ranks):
        own = {{"RANK": str(n), "LOCAL_RANK": str(n % per_node)}}
        if "GPU" in each:  # each rank sees its host's GPUs, and LOCAL_RANK says which is its own
            host = n // per_node * per_node
            own["CUDA_VISIBLE_DEVICES"] = ",".join(gpu for _, ids in places[host : host + per_node] for gpu in ids)
        running[rank.run.remote(common | own)] = n
    worst = 0
    while running:
        (done, *_), _ = ray.wait(list(running))
        n = running.pop(done)
        try:
            code, text = ray.get(done)
        except ray.exceptions.RayError as error:
            code, text = 1, f"rank {{n}} is lost: {{error}}\\n".encode()
        worst = max(worst, abs(code))
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    sys.exit(worst)


if __name__ == "__main__":
    main()
'''


def detect(_: Environ) -> Member | None:
    """Nothing in an actor's environment says which rank it is."""
    return None


def render(wanted: Wanted) -> Launch:
    """A driver that runs the command in every actor and prints what each says."""
    file = f"{wanted.name}_ray.py"
    driver = _DRIVER.format(
        file=file,
        nodes=wanted.nodes,
        per_node=wanted.ranks_per_node,
        size=wanted.size,
        port=wanted.master_port,
        command=list(wanted.preflight),
    )
    python = wanted.program[0] if len(wanted.program) > 1 else "python"
    return Launch(commands=(shlex.join((python, file)),), files=((file, driver),), at_end=True)


def holds(environ: Environ) -> Allocation | None:
    """The entry point of `ray job submit`: the cluster's nodes are its to start actors on."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in environ or "RAY_ADDRESS" not in environ:
        return None
    return Allocation(engine="ray", read=("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"))


ENGINE = Engine(name="ray", detect=detect, render=render, holds=holds, asked=Allocation(engine="ray"))
