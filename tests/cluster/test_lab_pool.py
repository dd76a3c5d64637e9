"""A lab is used again only if nothing tells it from a new one."""

import os
import socket
import subprocess
import threading
import time
from contextlib import ExitStack

import pytest
from census import gone
from faulty import made

from commcheck.lab.pool import LabPool
from commcheck.lab.sweep import sockets_counted
from commcheck.model.topology import Topology

PORT = 29500
RUN = 10.0
TWO = Topology(hosts=2, shm=1 << 20)


@pytest.fixture(scope="module")
def pool():
    with LabPool() as shared:
        yield shared


def world(lab, port=PORT):
    """What a world leaves: connections that the listening side has closed first, one that was never closed."""
    with lab[0].socket() as server, ExitStack() as stack:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        server.listen()
        for host in lab:
            client = stack.enter_context(host.socket())
            client.settimeout(RUN)
            client.connect((lab[0].address, port))
            accepted, _ = server.accept()
            accepted.close()


def used(pool, topology=TWO):
    """The processes that keep the lab that the pool gives now."""
    with pool.lab(topology) as lab:
        return [host.pid for host in lab]


def test_a_clean_lab_is_used_again(pool):
    with pool.lab(TWO) as lab:
        first = [host.pid for host in lab]
        world(lab)
        lab[0].path("/dev/shm/torch_1234").write_text("x" * 1000)
        with made(lab, "unresolvable", hosts=(1,), name="h0"):
            lab[1].popen(["sleep", "1000"])
    for _ in range(3):
        with pool.lab(TWO) as lab:
            assert [host.pid for host in lab] == first, pool.left
            assert os.listdir(lab[0].path("/dev/shm")) == []
            assert sockets_counted(lab[0].pid) == 0  # nothing in TIME_WAIT either
            world(lab)  # the same port can be listened on at once


CHANGES = {
    "firewall": lambda lab: lab[1].nft("table inet forgotten {}\n"),
    "switch firewall": lambda lab: lab.switch.nft("table inet forgotten {}\n"),
    "address": lambda lab: lab[0].ip("addr", "add", "10.9.9.9/24", "dev", "eth0"),
    "address lost": lambda lab: lab[0].ip("addr", "flush", "dev", "eth0"),
    "route": lambda lab: lab[0].ip("route", "add", "blackhole", "10.66.0.0/16"),
    "route metric": lambda lab: lab[0].ip("route", "change", "10.77.0.0/24", "dev", "eth0", "mtu", "1200"),
    "rule": lambda lab: lab[0].ip("rule", "add", "from", "10.0.0.0/8", "table", "77"),
    "neighbour": lambda lab: lab[0].ip("neigh", "add", "10.77.0.99", "lladdr", "02:00:00:00:00:01", "dev", "eth0"),
    "mtu": lambda lab: lab[0].ip("link", "set", "dev", "eth0", "mtu", "1400"),
    "switch mtu": lambda lab: lab.switch.ip("link", "set", "dev", "p0-1", "mtu", "1400"),
    "segments": lambda lab: lab[0].ip("link", "set", "dev", "eth0", "gso_max_segs", "1"),
    "down": lambda lab: lab[1].ip("link", "set", "dev", "eth0", "down"),
    "unplugged": lambda lab: lab.switch.ip("link", "set", "dev", "p0-0", "down"),
    "other bridge": lambda lab: lab.switch.ip("link", "set", "dev", "p0-0", "nomaster"),
    "link": lambda lab: lab[0].ip("link", "add", "docker0", "type", "bridge"),
    "queue": lambda lab: lab[0].command(
        ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "8mbit", "burst", "64kb", "latency", "1s"]
    ),
    "setting": lambda lab: lab[0].sysctl("net.ipv4.ip_local_port_range", "50000 50001"),
    "setting of a link": lambda lab: lab[0].sysctl("net.ipv6.conf.eth0.disable_ipv6", "1"),
    "hosts file": lambda lab: lab[0].path("/etc/hosts").write_text("127.0.1.1 h0\n"),
    "resolver": lambda lab: lab[1].path("/etc/resolv.conf").write_text("nameserver 10.77.0.1\n"),
    "host name": lambda lab: lab[0].run(["hostname", "clone"], timeout=RUN),
    "mount": lambda lab: lab[0].run(["mount", "-t", "tmpfs", "none", "/mnt"], timeout=RUN),
    "multicast": lambda lab: lab[0].ip("link", "set", "dev", "eth0", "allmulticast", "on"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_lab_is_not_used_again(pool, change):
    with pool.lab(TWO) as lab:
        before = [host.pid for host in lab]
        CHANGES[change](lab)
    assert gone(before)
    assert used(pool) != before
    print(pool.left[-1])


def test_a_socket_that_still_listens_spoils_a_lab(pool):
    with ExitStack() as stack:
        with pool.lab(TWO) as lab:
            before = [host.pid for host in lab]
            server = stack.enter_context(lab[0].socket())
            server.bind(("", PORT))
            server.listen()
        assert "h0 sockets" in pool.left[-1]
        assert used(pool) != before


@pytest.mark.parametrize("kind", ["net", "mount", "uts"])
def test_a_process_that_still_runs_spoils_a_lab(pool, kind):
    with pool.lab(TWO) as lab:
        before = [host.pid for host in lab]
        stray = subprocess.Popen(["nsenter", "--target", str(lab[1].pid), f"--{kind}", "--", "sh", "-c", "echo; exec cat"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert stray.stdout.readline()
    with stray:
        stray.stdin.close()
    assert "in h1" in pool.left[-1]
    assert used(pool) != before


def test_a_holder_that_was_killed_spoils_a_lab(pool):
    with pool.lab(TWO) as lab:
        before = [host.pid for host in lab]
        os.kill(lab[1].pid, 9)
    assert used(pool) != before
    assert gone(before)


def test_a_lab_of_an_error_is_not_used_again(pool):
    def fail():
        with pool.lab(TWO) as lab:
            before.extend(host.pid for host in lab)
            raise RuntimeError

    before = []
    with pytest.raises(RuntimeError):
        fail()
    assert before
    assert gone(before)


def test_several_threads_have_labs_of_their_own_that_outlive_them():
    seen, alive = [], []

    def one():
        with pool.lab(Topology(hosts=1)) as lab:
            seen.append(lab[0].pid)
            both.wait(RUN)

    both = threading.Barrier(2)
    with LabPool() as pool:
        for _ in range(2):
            threads = [threading.Thread(target=one) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            alive.append(not gone(seen))
    assert len(seen) == 4
    assert len(set(seen)) == 2, pool.left  # the second two threads had the labs of the first two, which had ended
    assert alive == [True, True]
    assert gone(seen)


def test_no_more_than_the_idle_labs_are_kept():
    with LabPool(idle=1) as pool:
        first = used(pool, Topology(hosts=1))
        second = used(pool, Topology(hosts=1, docker0=True))
        assert gone(first)
        assert used(pool, Topology(hosts=1, docker0=True)) == second


def test_the_comparison_of_four_hosts_is_quick():
    four = Topology(hosts=4)
    with LabPool() as pool:
        used(pool, four)
        took = []
        for _ in range(5):
            with pool.lab(four) as lab:
                world(lab)
                begin, cpu = time.monotonic(), time.process_time()
            took.append((time.monotonic() - begin, time.process_time() - cpu))
    print("reset of 4 hosts:", ", ".join(f"{wall:.3f} s ({cpu:.3f} s of processor)" for wall, cpu in took))
    assert not pool.left
    assert min(took)[0] < 0.5
