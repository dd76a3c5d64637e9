"""A preflight under torchrun, one agent per virtual host, with both of its kinds of rendezvous."""

import os
import sys

import pytest
from job import COMMCHECK, JOB, TOPOLOGY, assert_found, assert_healthy, every_fault, judged, struck

from commcheck.lab.lab import Lab

torch = pytest.importorskip("torch")

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nnodes=4", "--nproc-per-node=1")
PREFLIGHT = ("--no-python", *COMMCHECK, "preflight", "--quiet", "--backend", "gloo", "--report-to", "stdout")
PORT = 29400
KINDS = ["static", "c10d"]


@pytest.fixture(scope="module")
def lab():
    with Lab(TOPOLOGY) as made:
        yield made


def rendezvous(kind, number, first):
    """How an agent finds the others."""
    if kind == "static":
        return ("--node-rank", str(number), "--master-addr", first, "--master-port", str(PORT))
    return ("--rdzv-id=commcheck", "--rdzv-backend=c10d", f"--rdzv-endpoint={first}:{PORT}")


def launched(kind, lab, *options):
    """An agent on each host: their exit codes, and what they passed on."""
    # Without look-ups of addresses in a name server that is not there: the agents make one per connection.
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "RES_OPTIONS": "timeout:1 attempts:1"}
    environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST")}
    first = lab.hosts[0].address
    agents = [
        host.popen((*TORCHRUN, *rendezvous(kind, host.number, first), *PREFLIGHT, *options), env=environment)
        for host in lab.hosts
    ]
    ended = [agent.communicate(timeout=100) for agent in agents]
    return [agent.returncode for agent in agents], b"".join(out for out, _ in ended).decode()


@pytest.mark.parametrize("kind", [pytest.param(KINDS[0], marks=pytest.mark.whole), KINDS[1]])
def test_healthy(lab, kind):
    """The ranks use the store that torchrun's agents have made."""
    codes, text = launched(kind, lab, "--env", f"GLOO_SOCKET_IFNAME={JOB['GLOO_SOCKET_IFNAME']}")
    assert codes == [0, 0, 0, 0], text
    assert_healthy(judged(text)[1])


@pytest.mark.parametrize("kind", [KINDS[0], pytest.param(KINDS[1], marks=pytest.mark.whole)])
@every_fault()
def test_a_fault_is_named(lab, kind, cause):
    """The job has a store of its own, on the network that it is told to use."""
    with struck(lab, cause) as (settings, inject):
        given = {**settings, "TORCHELASTIC_USE_AGENT_STORE": "False"}
        options = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
        codes, text = launched(kind, lab, "--join-deadline", "20", *options, *inject)
    judgement, report = judged(text)
    assert 1 in codes
    assert judgement == 1
    assert_found(report, cause)
