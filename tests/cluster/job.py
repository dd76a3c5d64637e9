"""What the tests of launchers share: four hosts with two networks, ten faults of the one that the job is told to use, and
what has to be said of each. The launcher itself uses the other network."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from faulty import made

from commcheck.model.topology import Network, Topology

DATA = "10.88.0."
HOSTS = 4
TOPOLOGY = Topology(hosts=HOSTS, networks=(Network(), Network(interface="eth1", subnet=f"{DATA}0/24")))
JOB = {"GLOO_SOCKET_IFNAME": "eth1", "MASTER_ADDR": f"{DATA}10", "MASTER_PORT": "29500"}
COMMCHECK = (sys.executable, "-m", "commcheck")
FAULTS = {
    # cause: fault, its parameters, further settings, ranks
    "port-dropped": ("drop", {"hosts": [0], "ports": "29500"}, {}, {0}),
    "port-refused": ("reject", {"hosts": [0], "ports": "29500"}, {}, {0}),
    "interface-down": ("link-down", {"hosts": [3], "interface": "eth1"}, {}, {3}),
    "route-missing": ("route-missing", {"hosts": [2], "destination": f"{DATA}0/24"}, {}, {2}),
    "mtu-mismatch": ("mtu", {"hosts": [1], "interface": "eth1", "mtu": 1200}, {}, {1}),
    "host-unresolvable": ("unresolvable", {"hosts": [2], "name": "h0"}, {"MASTER_ADDR": "h0"}, {2}),
    "interface-missing": (None, {}, {"GLOO_SOCKET_IFNAME": "nope0"}, {0, 1, 2, 3}),
    "wrong-master-host": (None, {}, {"MASTER_ADDR": f"{DATA}99"}, {0, 1, 2, 3}),
    "port-out-of-range": (None, {}, {"MASTER_PORT": "70000"}, {0, 1, 2, 3}),
    "rank-stopped": (None, {}, {"inject": "2:stop@verify"}, {2}),
}


def every_fault(*few):
    """All ten as parameters, of which CI runs `few`."""
    return pytest.mark.parametrize(
        "cause", [pytest.param(c, marks=[] if c in few else [pytest.mark.whole]) for c in FAULTS]
    )


@contextmanager
def struck(lab, cause):
    """The fault is there: the settings of the job, and the options of the preflight, with it."""
    kind, given, settings, _ = FAULTS[cause]
    settings = {**JOB, **settings}
    inject = ("--inject", settings.pop("inject")) if "inject" in settings else ()
    if kind is None:
        yield settings, inject
        return
    with made(lab, kind, **given):
        yield settings, inject


def judged(text):
    """What `commcheck diagnose -` makes of a launcher's output: its exit code, and the report."""
    done = subprocess.run(
        [*COMMCHECK, "diagnose", "--format", "json", "-"], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.stdout, (done.stderr, text[-4000:])
    return done.returncode, json.loads(done.stdout)


def assert_found(report, cause):
    """The cause is named first, with the ranks and hosts that have it."""
    first = report["diagnoses"][0]
    ranks = FAULTS[cause][3]
    assert (report["verdict"], first["cause"], set(first["ranks"])) == ("unhealthy", cause, ranks), report
    assert set(first["hosts"]) == {f"h{rank}" for rank in ranks}


def assert_healthy(report, *, size=HOSTS):
    """The world was the one that was meant."""
    assert report["verdict"] == "healthy", report
    assert len(report["world"]["placed"]) == size
    assert {p["host"] for p in report["world"]["placed"]} == {f"h{n}" for n in range(HOSTS)}
