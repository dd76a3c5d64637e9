"""Every kind of fault, for real: its effect is there while it lasts, is gone afterwards, and the lab is as it was."""

import errno
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from census import descendants, gone, wait_until
from faulty import made

from commcheck.errors import LaunchError
from commcheck.lab import Lab
from commcheck.lab.fault import kinds
from commcheck.model.topology import Network, Topology

ROOT = Path(__file__).parents[2]
PORT = 29500  # every host listens on it
ALONE = 29501  # host 0 alone does
FREE = 29600  # nobody does
TAKEN = 29700
SHORT, LONG = 0.3, 8.0  # for what must not come, and for what must
DATAGRAMS = 200

BRIDGED = Topology(
    hosts=3,
    networks=(Network(subnet6="fd77::/64"), Network(interface="eth1", subnet="10.78.0.0/24")),
    shm=1 << 22,
)
ROUTED = Topology(hosts=2, networks=(Network(kind="routed", subnet="10.77.0.0/16", subnet6="fd77::/48"),))


# --- what can be seen -----------------------------------------------------------------------------------------


def connect(source, target, port=PORT, interface="eth0"):
    """What a host meets that opens a connection."""
    return lambda lab, patience: lab[source].connect(lab[target].address_on(interface), port, patience)


def greeting(source, target, port):
    """What a server says first."""

    def look(lab, patience):
        with lab[source].socket() as own:
            own.settimeout(LONG)
            try:
                own.connect((lab[target].address, port))
            except ConnectionRefusedError:
                return "refused"
            return own.recv(100)

    return look


def connect6(source, target):
    return lambda lab, patience: lab[source].connect(lab[target].address6, PORT, patience)


def several(*looks):
    return lambda lab, patience: tuple(look(lab, patience) for look in looks)


def repeated(times, look):
    """What the last of several attempts meets."""
    return lambda lab, patience: [look(lab, patience) for _ in range(times)][-1]


def bind(host, port):
    def look(lab, _):
        with lab[host].socket() as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                own.bind(("", port))
            except OSError as error:
                return errno.errorcode[error.errno]
        return "ok"

    return look


def joined(lab, source, target, patience):
    """Both ends of a new connection, and what holds them."""
    stack = ExitStack()
    server = stack.enter_context(lab[target].socket())
    server.bind(("", 0))
    server.listen()
    sender = stack.enter_context(lab[source].socket())
    sender.settimeout(LONG)
    sender.connect((lab[target].address, server.getsockname()[1]))
    receiver = stack.enter_context(server.accept()[0])
    sender.settimeout(patience)
    receiver.settimeout(patience)
    return stack, sender, receiver


def transfer(source, target, size, within=None):
    """Whether `size` bytes arrive; with `within`, whether they do in so many seconds."""

    def look(lab, patience):
        patience = LONG if within else patience  # what is slow has longer gaps too
        stack, sender, receiver = joined(lab, source, target, patience)
        begin, got, left = time.monotonic(), 0, size
        sender.setblocking(False)
        with stack:
            while got < size:
                ready, writable, _ = select.select([receiver], [sender] if left else [], [], patience)
                if not ready and not writable:
                    return "stalled"
                if writable:
                    with suppress(BlockingIOError):
                        left -= sender.send(b"x" * min(left, 1 << 16))
                if ready:
                    got += len(receiver.recv(1 << 16))
        return "ok" if within is None or time.monotonic() - begin < within else "slow"

    return look


def talk(source, target, rounds):
    """Whether two ends of one connection can say so many things in turn."""

    def look(lab, patience):
        stack, sender, receiver = joined(lab, source, target, patience)
        with stack:
            try:
                for _ in range(rounds):
                    sender.sendall(b"?")
                    receiver.recv(1)
                    receiver.sendall(b"!")
                    sender.recv(1)
            except TimeoutError:
                return "stalled"
        return "ok"

    return look


def datagrams(lab, source, target):
    """The numbers of those that arrive, in their order."""

    def own(host):
        return lab[host].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    with own(source) as sender, own(target) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind(("", 0))
        for number in range(DATAGRAMS):
            sender.sendto(bytes([number]), (lab[target].address, receiver.getsockname()[1]))
        got = []
        while select.select([receiver], [], [], SHORT)[0]:
            got.append(receiver.recv(1)[0])
    return got


def lossy(source, target):
    return lambda lab, _: "all" if len(set(datagrams(lab, source, target))) == DATAGRAMS else "lossy"


def twice(source, target):
    return lambda lab, _: len(datagrams(lab, source, target)) / DATAGRAMS


def order(source, target):
    def look(lab, _):
        got = datagrams(lab, source, target)
        return "in order" if got == sorted(got) else "out of order"

    return look


def round_trip(source, target, at_least):
    """Whether a connection takes at least so many milliseconds to open."""

    def look(lab, patience):
        took = []
        for _ in range(3):
            begin = time.monotonic()
            assert connect(source, target)(lab, LONG) == "ok"
            took.append((time.monotonic() - begin) * 1e3)
        if patience == SHORT:
            print(f"connect: {min(took):.2f} ms")
        return "late" if min(took) >= at_least else "soon"

    return look


def icmp(source, target):
    """Whether a host hears that a port is closed."""

    def look(lab, patience):
        with lab[source].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as own:
            own.settimeout(patience)
            own.connect((lab[target].address, FREE))
            own.send(b"?")
            try:
                own.recv(1)
            except ConnectionRefusedError:
                return "refused"
            except TimeoutError:
                return "silence"

    return look


def resolved(host, name, database="ahostsv4"):
    """What a host's resolver gives first, or nothing."""

    def look(lab, patience):
        try:
            said = lab[host].run(["getent", database, name], timeout=patience + 1).stdout.split()
        except subprocess.TimeoutExpired:
            return "silence"
        return said[0] if said else ""

    return look


def timed(seconds, look):
    """Whether a look takes at least so long, and what it gives."""

    def timed_look(lab, _):
        begin = time.monotonic()
        got = look(lab, LONG)
        return "slow" if time.monotonic() - begin >= seconds else "fast", got

    return timed_look


def carrier(host):
    def look(lab, patience):
        file, seen = lab[host].path("/sys/class/net/eth0/carrier"), set()
        wait_until(lambda: seen.add(file.read_text().strip()) or len(seen) == 2, 2.0 if patience == SHORT else SHORT)
        return "steady" if seen == {"1"} else "flapping"

    return look


def shared_memory(host, size):
    def look(lab, _):
        file = lab[host].path("/dev/shm/probe")
        try:
            file.write_bytes(b"x" * size)
        except OSError as error:
            return errno.errorcode[error.errno]
        finally:
            file.unlink()
        return "ok"

    return look


def after(first, look):
    """`look`, once `first` has been done."""
    return lambda lab, patience: (first(lab, LONG), look(lab, patience))[1]


def beside(other, look):
    """`look`, while `other` is being done."""

    def both(lab, patience):
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(other, lab, LONG)
            wait_until(lambda: doing.running() or doing.done())
            time.sleep(SHORT)  # until it is under way: that is what the test is of
            seen = look(lab, patience)
            doing.result()
        return seen

    return both


# --- the cases: at least one for each kind ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """`look` gives `sees` while the fault lasts, and `healthy` before and after."""

    look: Callable[[Lab, float], Any]
    sees: Any
    healthy: Any = "ok"
    lab: Topology = BRIDGED
    given: dict[str, Any] = field(default_factory=dict)


def case(look, sees, healthy="ok", lab=BRIDGED, **given):
    return Case(look=look, sees=sees, healthy=healthy, lab=lab, given=given)


ON_0, ON_1 = {"hosts": (0,)}, {"hosts": (1,)}
LOST = "timed-out"
MAPPED = "::ffff:10.77.0.10"  # the form in which the store asks, and for which no hosts file answers

CASES = {
    "address-missing": [case(connect(1, 0), "Network is unreachable", **ON_1)],
    "arp-silence": [case(connect(0, 1), LOST, **ON_1), case(connect6(0, 1), LOST, **ON_1)],
    "bandwidth": [case(transfer(1, 0, 1 << 18, within=1), "slow", rate="1mbit", **ON_1)],
    "crowded-out": [
        case(
            several(transfer(0, 1, 1 << 16, 0.8), beside(transfer(1, 2, 1 << 29), transfer(0, 1, 1 << 16, 0.8))),
            ("ok", "slow"), ("ok", "ok"), over=1, percent=99, **ON_0,
        )
    ],
    "delay": [
        case(round_trip(1, 0, 20), "late", "soon", milliseconds=10, **ON_1),
        case(round_trip(1, 0, 10), "late", "soon", milliseconds=10, jitter=2, way="out", **ON_1),
        case(round_trip(1, 0, 10), "late", "soon", ROUTED, milliseconds=10, way="in", **ON_0),
    ],
    "drop": [
        case(
            several(connect(1, 0), connect(2, 0), connect(1, 0, interface="eth1"), connect(1, 0, ALONE), connect6(1, 0)),
            (LOST, "ok", LOST, "ok", LOST), ("ok",) * 5, ports=str(PORT), source=(1,), **ON_0,
        ),
        case(several(connect(1, 0), connect(1, 0, ALONE), connect(0, 1)), ("ok", LOST, "ok"), ("ok",) * 3, ports=f"!= {PORT}", **ON_0),
        case(connect(0, 0), LOST, loopback=True, **ON_0),
    ],
    "drop-after": [
        case(several(talk(1, 0, 5), talk(1, 0, 20)), ("ok", "stalled"), ("ok", "ok"), packets=20, **ON_0),
        case(several(talk(1, 0, 5), connect(1, 0)), ("stalled", "ok"), ("ok", "ok"), packets=2, ports=f"!= {PORT}", **ON_1)
    ],
    "duplicate-address": [case(connect(1, 0, ALONE), "refused", victim=0, thief=2, believers=(1,))],
    "duplicate-mac": [case(after(connect(1, 2), connect(2, 0)), LOST, victim=0, thief=1)],
    "duplicate-packets": [case(twice(0, 1), 2.0, 1.0, percent=100, way="in", **ON_1)],
    "flapping": [case(carrier(1), "flapping", "steady", down=0.05, up=0.05, **ON_1)],
    "icmp-filtered": [case(icmp(0, 1), "silence", "refused", **ON_0)],
    "link-down": [case(connect(1, 0), "Network is unreachable", **ON_1)],
    "listener": [
        case(connect(1, 0, FREE), "ok", "refused", port=FREE, **ON_0),
        case(greeting(1, 0, FREE), b"SSH-2.0\r\n", "refused", port=FREE, banner="SSH-2.0\r\n", **ON_0),
    ],
    "loss": [
        case(lossy(0, 1), "lossy", "all", percent=30, way="in", **ON_1),
        case(lossy(1, 0), "lossy", "all", percent=30, way="out", **ON_1),
        case(several(lossy(0, 1), lossy(1, 0)), ("all", "lossy"), ("all", "all"), ROUTED, percent=30, way="out", **ON_1),
    ],
    "mtu": [
        case(several(transfer(1, 0, 1000), transfer(1, 0, 1 << 16)), ("ok", "stalled"), ("ok", "ok"), **ON_1),
        case(transfer(0, 1, 1 << 16), "ok", lab=ROUTED, mtu=1400, **ON_1),  # the router says so
    ],
    "narrow-ports": [case(repeated(2, connect(1, 0)), "Cannot assign requested address", first=50000, last=50000, **ON_1)],
    "old-store": [case(connect(1, 0, FREE), "ok", "refused", port=FREE, **ON_0)],
    "one-way": [case(several(connect(1, 0), connect(0, 1), connect(2, 1)), (LOST, LOST, "ok"), ("ok",) * 3, peer=0, **ON_1)],
    "own-name-is-loopback": [
        case(several(resolved(1, "h1"), resolved(0, "h1")), ("127.0.1.1", "10.77.0.11"), ("10.77.0.11",) * 2, **ON_1)
    ],
    "neighbour-fixed": [
        case(connect(1, 0), LOST, other=0, hardware="02:00:00:00:de:ad", **ON_1),
        case(connect(0, 1), LOST, other=0, hardware="02:00:00:00:de:ad", **ON_1),  # the answers are lost
    ],
    "partition": [
        case(several(connect(0, 1), connect(1, 2)), (LOST, "ok"), ("ok", "ok"), groups=((0,), (1, 2))),
        case(
            several(connect(0, 1), connect(0, 1, ALONE), connect6(1, 0)), ("refused",) * 3, ("ok", "refused", "ok"),
            groups=((0,), (1, 2)), ports=str(PORT), action="reject",
        ),
        case(several(connect(0, 1), connect(1, 0)), (LOST, "ok"), ("ok", "ok"), groups=((0,), (1,)), one_way=True, ports=str(PORT)),
    ],
    "path-mtu": [
        case(transfer(0, 1, 1 << 16), "stalled", lab=ROUTED, **ON_1),
        case(transfer(0, 1, 1 << 16), "ok", lab=ROUTED, icmp=True, **ON_1),
    ],
    "ports-exhausted": [case(connect(1, 0), "Cannot assign requested address", first=51000, last=51019, **ON_1)],
    "ports-taken": [case(several(bind(0, TAKEN), bind(0, TAKEN + 1)), ("EADDRINUSE", "ok"), ("ok", "ok"), first=TAKEN, **ON_0)],
    "rate-limit": [case(repeated(4, connect(1, 0)), LOST, rate=1, burst=2, ports=str(PORT), new=True, **ON_0)],
    "redirect": [
        case(
            several(connect(1, 0, FREE), connect(2, 0, FREE)), ("ok", "refused"), ("refused",) * 2,
            address="{h0}", port=FREE, to="{h2.eth1}", to_port=PORT, **ON_1,
        )
    ],
    "reject": [
        case(several(connect(1, 0), connect(1, 0, ALONE)), ("refused", "ok"), ("ok", "ok"), ports=str(PORT), **ON_0),
        case(connect(1, 0), "No route to host", ports=str(PORT), icmp=True, **ON_0),
    ],
    "reorder": [case(order(0, 1), "out of order", "in order", percent=20, **ON_1)],
    "resolves-to": [case(resolved(1, "h0"), "10.78.0.12", "10.77.0.10", name="h0", address="{h2.eth1}", **ON_1)],
    "reverse-path-filter": [case(connect(1, 0), LOST, peer=1, **ON_0)],
    "route-missing": [case(connect(1, 0), "Network is unreachable", destination="10.77.0.0/24", **ON_1)],
    "silent-resolver": [
        case(resolved(1, "h0"), "silence", "10.77.0.10", **ON_1),
        case(
            several(resolved(1, "10.77.0.10", "hosts"), resolved(1, MAPPED, "hosts")), ("10.77.0.10", "silence"),
            ("10.77.0.10", ""), hosts_files=True, **ON_1,
        ),
    ],
    "slow-resolver": [
        case(
            several(timed(1, resolved(1, "h0")), timed(1, resolved(1, "10.77.0.10", "hosts")), resolved(0, "h1")),
            (("slow", "10.77.0.10"), ("slow", "10.77.0.10"), "10.77.0.11"),
            (("fast", "10.77.0.10"), ("fast", "10.77.0.10"), "10.77.0.11"), seconds=1, **ON_1,
        ),
        case(
            several(timed(1, resolved(1, "h0")), timed(1, resolved(1, MAPPED, "hosts"))),
            (("fast", "10.77.0.10"), ("slow", "10.77.0.10")), (("fast", "10.77.0.10"), ("fast", "")),
            seconds=1, lookups="reverse", hosts_files=True, **ON_1,
        ),
    ],
    "small-shm": [case(shared_memory(1, 1 << 20), "ENOSPC", left=1 << 16, **ON_1)],
    "sysctl": [
        case(lambda lab, _: lab[1].sysctl("net.ipv4.tcp_syn_retries"), "1", "6", name="net.ipv4.tcp_syn_retries", value="1", **ON_1),
        case(connect6(1, 0), "Cannot assign requested address", name="net.ipv6.conf.all.disable_ipv6", value="1", **ON_1),
    ],
    "unplug": [case(connect(1, 0), LOST, **ON_1), case(connect(1, 0), LOST, lab=ROUTED, **ON_1)],
    "unresolvable": [
        case(several(resolved(1, "h0"), resolved(2, "h0")), ("", "10.77.0.10"), ("10.77.0.10",) * 2, name="h0", **ON_1)
    ],
    "wrong-resolver": [
        case(
            several(resolved(1, "h0"), resolved(1, "h2")), ("", "10.77.0.12"), ("10.77.0.10", "10.77.0.12"),
            names=("h0",), **ON_1,
        ),
        case(resolved(1, "h0"), "10.77.0.12", "10.77.0.10", address="{h2}", **ON_1),
    ],
    "wrong-route": [
        case(connect(1, 0), "Invalid argument", destination="{h0}", **ON_1),
        case(connect(1, 0), "No route to host", destination="10.77.0.0/24", action="unreachable", **ON_1),
        case(connect(1, 0), "Permission denied", destination="{h0}/32", action="prohibit", **ON_1),
        case(connect(1, 0), LOST, destination="{h0}", action="unicast", via="10.77.0.1", interface="eth0", **ON_1),
    ],
}  # fmt: skip

ALL = [(kind, number) for kind in sorted(kinds()) for number in range(max(1, len(CASES.get(kind, ()))))]


# --- the labs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labs():
    """The two labs, with something that listens on every host."""
    with ExitStack() as stack:
        both = {}
        for topology in (BRIDGED, ROUTED):
            lab = both[topology] = stack.enter_context(Lab(topology))
            for host in lab:
                for port in (PORT, ALONE) if host.number == 0 else (PORT,):
                    server = stack.enter_context(host.socket(socket.AF_INET6))
                    server.bind(("::", port))
                    server.listen(1024)
            assert wait_until(lambda lab=lab: settled(lab))
        yield both


@pytest.fixture(scope="module")
def untouched(labs):
    """The state of each lab before any fault."""
    return {topology: state(lab) for topology, lab in labs.items()}


def settled(lab):
    """The kernel has said of every cable and bridge that it is up, which it does a moment after it is."""
    shown = [space.ip("addr", "show", "type", kind) for space in (lab.switch, *lab) for kind in ("veth", "bridge")]
    return not re.search("tentative|state (UNKNOWN|DOWN|LOWERLAYERDOWN)", "".join(shown))


LOOK = """
ip -d addr; ip rule; ip -4 route show table all; ip -6 route show table all; tc qdisc; nft list ruleset
grep -rs '' /proc/sys/net/ipv4 /proc/sys/net/ipv6/conf || true  # some cannot be read
"""


def state(lab):
    """All that a fault could leave behind in a lab, line by line."""
    found = [f"{len(descendants(os.getpid()))} processes"]
    for space in (lab.switch, *lab):
        said = space.command(["sh", "-c", LOOK])
        found += [f"{space.name}: {line}" for line in re.sub(r"(gc_timer|hello_timer) +\S+", "", said).splitlines()]
    for host in lab:
        for file in ("/etc/hosts", "/etc/resolv.conf"):
            found += [f"{host.name}: {line}" for line in host.path(file).read_text().splitlines()]
        found += [f"{host.name}: {p}" for p in (host.path("/dev/shm").iterdir() if lab.topology.shm else ())]
    return Counter(found)


def changes(lab, untouched):
    """The lines that are not as they were, in either direction."""
    now, then = state(lab), untouched[lab.topology]
    return set(now - then) | set(then - now)


@pytest.mark.parametrize(("kind", "number"), ALL, ids=[f"{kind}-{number}" for kind, number in ALL])
def test_a_fault_is_there_while_it_lasts_and_no_longer(labs, untouched, kind, number):
    assert kind in CASES, f"{kind} has no case here"
    fault, row = kinds()[kind], CASES[kind][number]
    spec = fault.spec(**row.given)
    if fault.missing(spec):
        pytest.skip(fault.missing(spec))
    lab = labs[row.lab]
    assert row.look(lab, LONG) == row.healthy
    with fault.make(lab, spec):
        assert row.look(lab, SHORT) == row.sees
    assert changes(lab, untouched) == set()
    assert row.look(lab, LONG) == row.healthy


@pytest.mark.parametrize("first_out", [0, 1])
def test_faults_of_one_file_or_setting_end_in_any_order(labs, untouched, first_out):
    lab = labs[BRIDGED]
    pairs = (
        [made(lab, "resolves-to", hosts=(1,), name=name, address="10.9.9.9") for name in ("h0", "h2")],
        [made(lab, "sysctl", hosts=(1,), name="net.ipv4.tcp_syn_retries", value=value) for value in "12"],
        [made(lab, kind, hosts=(1,)) for kind in ("unplug", "flapping")],
        [made(lab, "link-down", hosts=(1,)) for _ in range(2)],
    )
    for pair in pairs:
        stacks = [ExitStack(), ExitStack()]
        for stack, one in zip(stacks, pair, strict=True):
            stack.enter_context(one)
        stacks.pop(first_out).close()
        assert changes(lab, untouched) != set()
        stacks.pop().close()
        assert changes(lab, untouched) == set()


@pytest.mark.parametrize(
    ("kind", "given", "sees"), [("drop", {"hosts": (0, 1)}, "ok"), ("partition", {"groups": ((0,), (1,))}, "stalled")]
)
def test_a_firewall_lets_older_connections_be_and_a_partition_does_not(labs, kind, given, sees):
    stack, sender, receiver = joined(labs[BRIDGED], 1, 0, SHORT)
    with stack, made(labs[BRIDGED], kind, **given):
        sender.sendall(b"?")
        try:
            heard = "ok" if receiver.recv(1) else "closed"
        except TimeoutError:
            heard = "stalled"
    assert heard == sees


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        ("drop", {}, "names no host"),
        ("drop", {"hosts": (7,)}, "there is no host 7: the lab has 3"),
        ("redirect", {"hosts": (0,), "address": "{h9}", "port": 1, "to": "{h0}", "to_port": 1}, "there is no host 9"),
        ("listener", {"hosts": (0,), "port": PORT}, "Address already in use"),
        ("unplug", {"hosts": (0,), "interface": "lo"}, "no cable goes into lo"),
        ("route-missing", {"hosts": (0,), "destination": "10.1.0.0/16"}, "no route to 10.1.0.0/16"),
        ("partition", {"groups": ((0, 1),)}, "two groups or more"),
        ("partition", {"groups": ((0, 1), (1, 2))}, "each host in one"),
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be_made_says_why(labs, untouched, kind, given, why):
    with pytest.raises(LaunchError, match=why), made(labs[BRIDGED], kind, **given):
        pass
    assert changes(labs[BRIDGED], untouched) == set()


def test_a_small_shm_needs_a_lab_with_its_own(labs):
    with pytest.raises(LaunchError, match="shares this machine's"), made(labs[ROUTED], "small-shm", hosts=(0,)):
        pass


PROGRAM = """
import sys
from contextlib import ExitStack
from commcheck.lab import Lab
from commcheck.lab.fault import kinds
from commcheck.model.topology import Topology

MADE = {"delay": {"milliseconds": 1}, "flapping": {}, "slow-resolver": {}, "ports-taken": {"first": 29700}}
with ExitStack() as stack:
    lab = stack.enter_context(Lab(Topology()))
    for kind, given in MADE.items():
        fault = kinds()[kind]
        stack.enter_context(fault.make(lab, fault.spec(hosts=(0,), **given)))
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_what_a_fault_has_started_dies_with_us():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout.readline() == b"ready\n"
        ours = descendants(parent.pid)
        assert len(ours) >= 6  # keeper, 2 holders, relay, name server, holder of a port
        parent.send_signal(signal.SIGKILL)
        parent.wait(LONG)
    assert wait_until(lambda: gone(ours))
