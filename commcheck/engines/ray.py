"""Ray: a placement group with a bundle per rank, one actor in each. Ray sets no rank in the environment: the driver does.

Source: docs.ray.io, ray.util.placement_group and ray.util.scheduling_strategies.
"""

from __future__ import annotations

from commcheck.engines.base import Engine, Environ, Launch, Member, Wanted


def detect(_: Environ) -> Member | None:
    """Nothing in an actor's environment says which rank it is."""
    return None


def render(wanted: Wanted) -> Launch:
    """A driver that runs the command in every actor and prints what each says."""
    command = ["commcheck", "preflight", "--report-dir", wanted.report_dir, *wanted.options]
    driver = f'''"""Runs a preflight on a Ray cluster: python {wanted.name}_ray.py"""
import os, subprocess, ray
from ray.util import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

NODES, PER_NODE, PORT = {wanted.nodes}, {wanted.ranks_per_node}, {wanted.master_port}
COMMAND = {command!r}


@ray.remote(num_cpus=0, max_retries=0)
class Rank:
    def address(self):
        return ray.util.get_node_ip_address()

    def run(self, rank, local_rank, master):
        here = {{"RANK": rank, "WORLD_SIZE": NODES * PER_NODE, "LOCAL_RANK": local_rank, "MASTER_ADDR": master, "MASTER_PORT": PORT}}
        done = subprocess.run(COMMAND, env={{**os.environ, **{{k: str(v) for k, v in here.items()}}}}, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


ray.init(address="auto")
group = placement_group([{{"CPU": 1}}] * NODES, strategy="STRICT_SPREAD" if NODES > 1 else "PACK")
ray.get(group.ready())
ranks = [
    Rank.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=n // PER_NODE)).remote()
    for n in range(NODES * PER_NODE)
]
master = ray.get(ranks[0].address.remote())
said = ray.get([actor.run.remote(n, n % PER_NODE, master) for n, actor in enumerate(ranks)])
for rank, (code, text) in enumerate(said):
    print(f"--- rank {{rank}}: exit code {{code}}\\n{{text}}")
raise SystemExit(max(code for code, _ in said))
'''
    return Launch(commands=(f"python {wanted.name}_ray.py",), files=((f"{wanted.name}_ray.py", driver),))


ENGINE = Engine(name="ray", detect=detect, render=render)
