"""The lab: hosts that are as separate as real ones, faults that do what they say, and nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from census import descendants, gone, machine, namespaces, wait_until
from labs import topology_of

from commcheck.errors import LaunchError, UsageError
from commcheck.lab import Lab
from commcheck.lab.faults import addresses, bandwidth, firewall, links, mtu, names, routes, services, sysctls
from commcheck.lab.memory import groups_root, memory_group
from commcheck.model.topology import Topology

ROOT = Path(__file__).parents[2]
SHORT = 0.3  # a connect that meets a drop is given up after this
RUN = 10.0
SEVERAL = topology_of(3, subnet6="fd77::/64", second="10.78.0.0/24", docker0=True, down="eth2", bare="eth3")


@pytest.fixture(scope="module")
def lab():
    with Lab(SEVERAL) as made:
        yield made


def listening(host, port=29500, family=socket.AF_INET):
    server = host.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    server.listen()
    return server


def transfer(source, target, size, seconds, port=29600):
    """Bytes that arrive at `target` of `size` that `source` sends, within `seconds`."""
    with listening(target, port) as server, source.socket() as sender:
        sender.settimeout(seconds)
        sender.connect((target.address, port))
        receiver, _ = server.accept()
        with receiver:
            receiver.settimeout(seconds)
            sender.setblocking(False)
            left, got, end = size, 0, time.monotonic() + seconds
            while got < size and time.monotonic() < end:
                with suppress(BlockingIOError):
                    left -= sender.send(b"x" * min(left, 1 << 16)) if left else 0
                receiver.settimeout(0.02)
                try:
                    got += len(receiver.recv(1 << 16))
                except TimeoutError:
                    continue
            return got


def test_four_hosts_are_there_well_under_a_second():
    took = []
    for _ in range(3):
        begin = time.monotonic()
        with Lab(Topology(hosts=4)) as made:
            took.append(time.monotonic() - begin)
            assert len(made) == 4
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
    with Lab(topology_of(subnet=None, subnet6="fd77::/64")) as made:
        assert made[0].address == "fd77::a"
        with listening(made[0], family=socket.AF_INET6):
            assert made[1].connect("fd77::a", 29500, RUN) == "ok"
        assert "inet " not in made[0].ip("addr", "show", "dev", "eth0")


def test_a_lab_of_no_host_is_refused():
    with pytest.raises(UsageError, match=r"hosts: 0 hosts: a lab has 1"):
        Lab(Topology(hosts=0))


# --- faults ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "seen"), [("drop", "timed-out"), ("reject", "refused")])
def test_a_firewall_over_one_port(lab, action, seen):
    with listening(lab[0]), listening(lab[0], 29501):
        with firewall.blocked(lab[0], action, ports="29500"):
            assert lab[1].connect(lab[0].address, 29500, SHORT) == seen
            assert lab[1].connect(lab[0].address, 29501, SHORT) == "ok"
        assert lab[1].connect(lab[0].address, 29500, RUN) == "ok"


@pytest.mark.parametrize(("action", "seen"), [("drop", "timed-out"), ("reject", "refused")])
def test_a_firewall_over_all_ports_but_one(lab, action, seen):
    with (
        listening(lab[0]),
        listening(lab[0], 29501),
        listening(lab[1], 29502),
        firewall.blocked(lab[0], action, ports="!= 29500"),
    ):
        assert lab[1].connect(lab[0].address, 29500, SHORT) == "ok"
        assert lab[1].connect(lab[0].address, 29501, SHORT) == seen
        assert lab[0].connect(lab[1].address, 29502, SHORT) == "ok"  # and answers come back


def test_a_firewall_against_one_peer(lab):
    with listening(lab[0]), firewall.blocked(lab[0], source=lab[1].address):
        assert lab[1].connect(lab[0].address, 29500, SHORT) == "timed-out"
        assert lab[2].connect(lab[0].address, 29500, SHORT) == "ok"


def test_one_way(lab):
    with listening(lab[0]), listening(lab[2]), firewall.one_way(lab[0], lab[1]):
        assert lab[1].connect(lab[0].address, 29500, SHORT) == "timed-out"
        assert lab[1].connect(lab[2].address, 29500, SHORT) == "ok"


def test_connections_end_elsewhere(lab):
    with (
        services.listener(lab[1], 2222, "SSH-2.0\r\n"),
        firewall.redirected(lab[1], lab[0].address, 29500, lab[1].address, 2222),
        lab[1].socket() as attempt,
    ):
        attempt.settimeout(RUN)
        attempt.connect((lab[0].address, 29500))
        assert attempt.recv(3) == b"SSH"
        assert lab[2].connect(lab[0].address, 29500, RUN) == "refused"


@pytest.mark.parametrize("fault", [links.down, links.unplugged, addresses.removed])
def test_a_host_cut_off(lab, fault):
    with listening(lab[0]):
        with fault(lab[1]):
            assert lab[1].connect(lab[0].address, 29500, SHORT) not in {"ok", "refused"}
        # A removed IPv6 address, or a port of the bridge, needs a moment to come back.
        assert wait_until(lambda: lab[1].connect(lab[0].address, 29500, SHORT) == "ok")


def test_no_route(lab):
    with listening(lab[0]):
        with routes.removed(lab[1], "10.77.0.0/24"):
            assert lab[1].connect(lab[0].address, 29500, SHORT) == "Network is unreachable"
        assert lab[1].connect(lab[0].address, 29500, RUN) == "ok"


def test_large_packets_are_lost_where_the_mtu_differs(lab):
    assert transfer(lab[0], lab[1], 1 << 20, RUN) == 1 << 20
    with mtu.mismatch(lab[0]):
        assert lab[1].connect(lab[0].address, 29600, SHORT) == "refused"  # small packets pass
        assert transfer(lab[0], lab[1], 1000, RUN) == 1000
        assert transfer(lab[0], lab[1], 1 << 20, 0.6) < 1 << 20
    assert transfer(lab[0], lab[1], 1 << 20, RUN) == 1 << 20


def test_two_hosts_with_one_address(lab):
    with listening(lab[0]):
        with addresses.duplicated(lab[0], lab[1], believers=[lab[2]]):
            assert lab[2].connect(lab[0].address, 29500, RUN) == "refused"  # the thief has no listener
            assert lab[1].connect(lab[0].address, 29500, RUN) == "refused"  # it reaches itself
        assert lab[2].connect(lab[0].address, 29500, RUN) == "ok"


def test_names_go_wrong_on_one_host_only(lab):
    def resolved(host, name):
        return host.run(["getent", "ahostsv4", name], timeout=RUN).stdout.split()[:1]

    with names.unresolvable(lab[1], "h0"):
        assert resolved(lab[1], "h0") == []
        assert resolved(lab[2], "h0") == ["10.77.0.10"]
    with names.loopback_as_debian(lab[0]):
        assert resolved(lab[0], "h0") == ["127.0.1.1"]
        assert resolved(lab[1], "h0") == ["10.77.0.10"]
    with names.resolves_to(lab[1], "h0", "10.77.0.12"):
        assert resolved(lab[1], "h0") == ["10.77.0.12"]
    assert resolved(lab[1], "h0") == ["10.77.0.10"]


def test_a_resolver_that_never_answers_takes_seconds(lab):
    with names.silent_resolver(*lab):
        look_up = lab[0].popen(["getent", "hosts", "10.77.0.11"])
        with pytest.raises(subprocess.TimeoutExpired):
            look_up.wait(1.5)
        lab[0].stop_programs()


def test_listeners(lab):
    with services.listener(lab[0], 29500) as pid:
        assert lab[1].connect(lab[0].address, 29500, RUN) == "ok"
        assert namespaces("net", [pid]) == namespaces("net", [lab[0].pid])
    assert gone([pid])
    with services.listener(lab[0], 29500, "SSH-2.0-OpenSSH_9.2\r\n"), lab[1].socket() as talk:
        talk.settimeout(RUN)
        talk.connect((lab[0].address, 29500))
        assert talk.recv(3) == b"SSH"


def test_a_program_that_cannot_start_says_why(lab):
    with (
        listening(lab[0]),
        pytest.raises(LaunchError, match="Address already in use"),
        services.listener(lab[0], 29500),
    ):
        pass


def test_an_old_store(lab):
    pytest.importorskip("torch")
    with services.old_store(lab[0], 29500) as pid:
        assert lab[1].connect(lab[0].address, 29500, RUN) == "ok"
    assert gone([pid])


def test_too_few_ports(lab):
    with listening(lab[0]), sysctls.narrow_ports(lab[1]), ExitStack() as kept:
        for wanted in ("ok", "ok", "Cannot assign requested address"):
            attempt = kept.enter_context(lab[1].socket())
            attempt.settimeout(RUN)
            code = attempt.connect_ex((lab[0].address, 29500))
            assert wanted == ("ok" if code == 0 else os.strerror(code))
    assert lab[1].sysctl("net.ipv4.ip_local_port_range").split() != ["50000", "50001"]


def test_a_slow_link(lab):
    with bandwidth.limited(lab[0], "8mbit"):
        begin = time.monotonic()
        assert transfer(lab[0], lab[1], 1 << 19, RUN) == 1 << 19
        assert time.monotonic() - begin > 0.2


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
from commcheck.lab import Lab
from commcheck.lab.faults import firewall, services
from commcheck.lab.memory import groups_root, memory_group
from commcheck.model.topology import Network, Topology
from contextlib import ExitStack, suppress

TOPOLOGY = Topology(hosts=4, networks=(Network(), Network(interface="eth1", subnet="10.78.0.0/24")), docker0=True)
with ExitStack() as stack:
    lab = stack.enter_context(Lab(TOPOLOGY))
    stack.enter_context(firewall.blocked(lab[0], ports="29500"))
    stack.enter_context(services.listener(lab[0], 29501))
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
        env={**os.environ, "PYTHONPATH": str(ROOT)},
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
    with firewall.blocked(lab[0]), names.silent_resolver(*lab):
        text = str(machine())
    assert "10.77.0." not in text
    assert "commcheck-lab" not in text
