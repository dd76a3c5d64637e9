"""The lab: hosts that are as separate as real ones, and nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from census import descendants, gone, machine, namespaces, wait_until
from faulty import made

from commcheck.errors import UsageError
from commcheck.lab import Lab
from commcheck.lab.memory import groups_root, memory_group
from commcheck.model.topology import Network, Topology

ROOT = Path(__file__).parents[2]
PYTHONPATH = f"{ROOT}:{Path(__file__).parent}"
RUN = 10.0
SEVERAL = Topology(
    hosts=3,
    networks=(Network(subnet6="fd77::/64"), Network(interface="eth1", subnet="10.78.0.0/24")),
    docker0=True,
    down="eth2",
    bare="eth3",
)


@pytest.fixture(scope="module")
def lab():
    with Lab(SEVERAL) as several:
        yield several


def listening(host, port=29500, family=socket.AF_INET):
    server = host.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    server.listen()
    return server


def test_four_hosts_are_there_well_under_a_second():
    took = []
    for _ in range(3):
        begin = time.monotonic()
        with Lab(Topology(hosts=4)) as four:
            took.append(time.monotonic() - begin)
            assert len(four) == 4
    print(f"4 hosts: {min(took):.3f} to {max(took):.3f} s")
    assert min(took) < 0.8


def test_every_host_is_a_host_of_its_own(lab):
    seen = [host.run(["sh", "-c", "hostname; ls /sys/class/net; cat /etc/hosts"], timeout=RUN).stdout for host in lab]
    assert [text.split()[0] for text in seen] == ["h0", "h1", "h2"]
    assert all(
        {"eth0", "eth1", "eth2", "eth3", "docker0", "lo"} == set(text.split()[1:7]) for text in seen
    )  # /sys is the host's own
    assert all("10.77.0.12 h2" in text for text in seen)
    for kind in ("net", "uts", "mnt"):
        assert len(namespaces(kind, [host.pid for host in lab])) == 3


def test_interfaces_are_as_asked_for(lab):
    shown = {item["ifname"]: item for item in json.loads(lab[1].ip("-j", "addr"))}
    assert {a["local"] for a in shown["eth0"]["addr_info"] if a["scope"] == "global"} == {"10.77.0.11", "fd77::b"}
    assert shown["docker0"]["addr_info"][0]["local"] == "172.17.0.1"
    assert shown["eth2"]["addr_info"][0]["local"] == "10.99.0.11"
    assert "UP" not in shown["eth2"]["flags"]
    assert shown["eth3"]["addr_info"] == []
    assert "UP" in shown["eth3"]["flags"]


def test_hosts_reach_each_other_on_every_network(lab):
    with listening(lab[0]), listening(lab[0], 29501, socket.AF_INET6):
        assert lab[1].connect("10.77.0.10", 29500, RUN) == "ok"
        assert lab[2].connect("10.78.0.10", 29500, RUN) == "ok"
        assert lab[2].connect("fd77::a", 29501, RUN) == "ok"
        assert lab[1].connect("10.77.0.10", 29999, RUN) == "refused"
        assert lab[1].connect("172.17.0.1", 29500, RUN) == "refused"  # its own docker0


def test_names_resolve_and_unknown_ones_fail_at_once(lab):
    assert lab[0].run(["getent", "ahostsv4", "h2"], timeout=RUN).stdout.startswith("10.77.0.12")
    begin = time.monotonic()
    assert lab[0].run(["getent", "hosts", "10.9.9.9"], timeout=RUN).returncode != 0
    assert time.monotonic() - begin < 1.0


def test_hosts_of_an_ipv6_only_lab():
    with Lab(Topology(hosts=2, networks=(Network(subnet=None, subnet6="fd77::/64"),))) as pair:
        assert pair[0].address == "fd77::a"
        with listening(pair[0], family=socket.AF_INET6):
            assert pair[1].connect("fd77::a", 29500, RUN) == "ok"
        assert "inet " not in pair[0].ip("addr", "show", "dev", "eth0")


def test_a_lab_of_no_host_is_refused():
    with pytest.raises(UsageError, match=r"hosts: 0 hosts: a lab has 1"):
        Lab(Topology(hosts=0))


@pytest.mark.skipif(groups_root() is None, reason="no memory control group can be made here")
def test_a_memory_group_kills_and_is_removed():
    with memory_group(32 << 20) as group:
        program = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"open({group!r} + '/cgroup.procs', 'w').write('0')\nkept = []\nwhile True: kept.append(b'x' * 2**20)",
            ]
        )
        assert program.wait(RUN) == -signal.SIGKILL
    assert not Path(group).exists()


# --- nothing is left ------------------------------------------------------------------------------------------


PROGRAM = """
import os, signal, sys
from faulty import made
from commcheck.lab import Lab
from commcheck.lab.memory import groups_root, memory_group
from commcheck.model.topology import Network, Topology
from contextlib import ExitStack

TOPOLOGY = Topology(hosts=4, networks=(Network(), Network(interface="eth1", subnet="10.78.0.0/24")), docker0=True)
with ExitStack() as stack:
    lab = stack.enter_context(Lab(TOPOLOGY))
    stack.enter_context(made(lab, "drop", hosts=(0,), ports="29500"))
    stack.enter_context(made(lab, "listener", hosts=(0,), port=29501))
    lab[1].popen(["sleep", "1000"])
    group = stack.enter_context(memory_group(1 << 26)) if groups_root() else ""
    print("ready", group, flush=True)
    if sys.argv[1] == "exit":
        sys.exit(0)
    if sys.argv[1] == "error":
        raise RuntimeError("on purpose")
    signal.pause()
"""


@pytest.mark.parametrize("ending", ["exit", "error", "kill -9", "interrupt"])
def test_nothing_is_left(ending):
    before = machine()
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), ending],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
    )
    with parent:
        word, *group = parent.stdout.readline().decode().split()
        assert word == "ready"
        ours = descendants(parent.pid)
        held = namespaces("net", ours) | namespaces("mnt", ours) | namespaces("uts", ours)
        if ending in {"kill -9", "interrupt"}:
            assert len(ours) >= 7  # keeper, 4 holders, listener, sleep
            parent.send_signal(signal.SIGKILL if ending == "kill -9" else signal.SIGINT)
        parent.wait(RUN)
    assert wait_until(lambda: gone(ours))
    assert wait_until(lambda: not held & (namespaces("net") | namespaces("mnt") | namespaces("uts")))
    if group:
        assert wait_until(lambda: not Path(group[0]).exists())
    assert machine() == before


def test_a_lab_in_use_does_not_show_on_the_machine(lab):
    with made(lab, "drop", hosts=(0,)), made(lab, "silent-resolver", hosts=(0, 1, 2)):
        text = str(machine())
    assert "10.77.0." not in text
    assert "commcheck-lab" not in text
