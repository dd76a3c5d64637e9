"""A Ray cluster on virtual hosts: a head on the first, a worker on each other one."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

PORT = 6379
UP_SECONDS = 90.0


def python():
    """The Python that has Ray, with commcheck and torch beside it; None where there is none."""
    for path in filter(None, (os.environ.get("COMMCHECK_RAY_PYTHON"), sys.executable)):
        if subprocess.run([path, "-c", "import ray, torch, commcheck"], capture_output=True).returncode == 0:
            return path
    return None


_ALL_THERE = """
import sys, time, ray
ray.init(logging_level="error", log_to_driver=False)
deadline = time.monotonic() + float(sys.argv[2])
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]):
    if time.monotonic() > deadline:
        sys.exit("not all nodes are alive")
    time.sleep(0.2)
"""


class Cluster:
    """The cluster that is up; `run` is a program on its head's host."""

    def __init__(self, lab, environment):
        self.lab, self._environment = lab, environment

    def run(self, *argv, seconds=200):
        """A program on the head's host."""
        return self.lab.hosts[0].run(argv, env=self._environment, timeout=seconds)


@contextmanager
def cluster(lab, directory, path):
    """Start it, wait until all nodes are there, and end it."""
    first = lab.hosts[0].address
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST"))}
    # Ray's channels would ask a proxy for the cluster's own hosts.
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    environment = {
        **kept,
        "PYTHONPATH": os.getcwd(),
        "NO_COLOR": "1",
        "RAY_ADDRESS": f"{first}:{PORT}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # a head turns it on by itself where a token lies in the home directory
        "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
    }
    ray = (path, "-c", "from ray.scripts.scripts import main; main()")
    common = ("--num-cpus=1", "--object-store-memory=80000000", "--block", "--disable-usage-stats")
    daemons, log = [], Path(directory) / "ray.log"
    try:
        for host in lab.hosts:
            if host.number == 0:
                role = ("--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={directory}/s")
            else:
                role = (f"--address={first}:{PORT}",)
            own = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
            with log.open("ab") as file:
                words = (*ray, "start", *role, f"--node-ip-address={host.address}", *common)
                daemons.append(host.popen(words, env=own, stdout=file, stderr=file))
            # One after the other: they share a file system here, and would choose the same names.
            sockets = Path(directory) / "s" / "session_latest" / "sockets"
            _until(lambda: len(list(sockets.glob("raylet*"))) > host.number, log)  # noqa: B023
        made = Cluster(lab, environment)
        came = made.run(path, "-c", _ALL_THERE, str(len(lab)), str(UP_SECONDS))
        assert came.returncode == 0, (came.stderr, log.read_text()[-3000:])
        yield made
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _until(there, log):
    deadline = time.monotonic() + UP_SECONDS
    while not there():
        if time.monotonic() > deadline:
            raise AssertionError(f"the head did not come up: {log.read_text()[-3000:]}")
        time.sleep(0.2)
