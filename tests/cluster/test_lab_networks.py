"""Each kind of network carries packets as its topology declares, and none where it must not."""

import json
import socket
from contextlib import ExitStack

import pytest

from commcheck.errors import LaunchError, UsageError
from commcheck.lab import Lab, missing_for
from commcheck.lab.validity import problems
from commcheck.model.topology import Network, Topology

PORT = 29500
RUN = 10.0
SILENT = 0.5
UNREACHABLE = {"Network is unreachable", "No route to host", "timed-out"}


def open_lab(stack, topology):
    missing = missing_for(topology)
    if missing:
        pytest.skip(missing)
    lab = stack.enter_context(Lab(topology))
    for host in lab:
        for family, port in ((socket.AF_INET, PORT), (socket.AF_INET6, PORT + 1)):
            server = stack.enter_context(host.socket(family))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("", port))
            server.listen()
    return lab


def reach(lab, source, target, interface="eth0"):
    """What comes of connecting to every address that the target has on that interface."""
    wire = next(wire for wire in lab[target].wires if wire.name == interface)
    addresses = [str(item.ip) for item in wire.interfaces(10 + target)]
    return {lab[source].connect(a, PORT + (":" in a), SILENT if source != target else RUN) for a in addresses}


def shown(host, interface):
    return json.loads(host.ip("-j", "-d", "link", "show", "dev", interface))[0]


def test_two_bridges_with_some_hosts_each():
    topology = Topology(
        hosts=4,
        networks=(
            Network(hosts=(0, 1, 2), mtu=9000),
            Network(interface="data0", subnet="10.78.0.0/24", subnet6="fd78::/64", hosts=(1, 2, 3)),
        ),
    )
    with ExitStack() as stack:
        lab = open_lab(stack, topology)
        assert lab[3].address == "10.78.0.13"
        assert lab[1].address_on("data0") == "10.78.0.11"
        with pytest.raises(LaunchError, match="h0 has no data0"):
            lab[0].address_on("data0")
        assert reach(lab, 0, 1) == {"ok"}
        assert reach(lab, 3, 1, "data0") == {"ok"}
        assert reach(lab, 0, 3, "data0") <= UNREACHABLE
        assert shown(lab[0], "eth0")["mtu"] == 9000
        assert "10.78.0.13 h3" in lab[0].path("/etc/hosts").read_text()
        assert "data0" not in lab[0].ip("-br", "link")


def test_a_router_between_subnets():
    networks = (Network(kind="routed", subnet="10.80.0.0/16", subnet6="fd80::/48"),)
    with ExitStack() as stack:
        lab = open_lab(stack, Topology(hosts=3, networks=networks))
        assert [host.address for host in lab] == ["10.80.0.10", "10.80.1.11", "10.80.2.12"]
        assert [host.address6 for host in lab] == ["fd80::a", "fd80:0:0:1::b", "fd80:0:0:2::c"]
        assert reach(lab, 0, 2) == {"ok"}
        assert reach(lab, 2, 1) == {"ok"}
        assert "via 10.80.0.1 " in lab[0].ip("route", "get", "10.80.2.12")


def test_a_router_leaves_bridges_alone():
    """The switch forwards between the hosts of a routed network, and not from there to a bridge."""
    topology = Topology(
        hosts=2,
        networks=(
            Network(hosts=(0,)),
            Network(interface="r0", kind="routed", subnet="10.80.0.0/16"),
        ),
        gateway=True,
    )
    with ExitStack() as stack:
        lab = open_lab(stack, topology)
        assert reach(lab, 0, 1, "r0") == {"ok"}
        assert reach(lab, 1, 0) <= UNREACHABLE


@pytest.mark.parametrize(("kind", "mtu"), [("vlan", 1500), ("vxlan", 1450)])
def test_an_overlay(kind, mtu):
    over = Network(interface="over0", kind=kind, tag=7, subnet="10.79.0.0/24", subnet6="fd79::/64", hosts=(0, 1))
    other = Network(interface="over1", kind=kind, tag=8, subnet="10.89.0.0/24", hosts=(1, 2))
    with ExitStack() as stack:
        lab = open_lab(stack, Topology(hosts=3, networks=(Network(), over, other)))
        assert reach(lab, 0, 1, "over0") == {"ok"}
        assert reach(lab, 2, 1, "over1") == {"ok"}
        assert reach(lab, 0, 2, "over1") <= UNREACHABLE
        assert shown(lab[0], "over0")["mtu"] == mtu
        assert shown(lab[0], "over0")["linkinfo"]["info_kind"] == kind


def test_an_overlay_over_a_router_and_over_ipv6():
    networks = (
        Network(kind="routed", subnet="10.80.0.0/16"),
        Network(interface="eth1", subnet=None, subnet6="fd77::/64"),
        Network(interface="over0", kind="vxlan", subnet="10.79.0.0/24"),
        Network(interface="over1", kind="vxlan", over="eth1", tag=9, subnet="10.89.0.0/24"),
    )
    with ExitStack() as stack:
        lab = open_lab(stack, Topology(hosts=3, networks=networks))
        assert reach(lab, 0, 2, "over0") == {"ok"}
        assert reach(lab, 2, 1, "over1") == {"ok"}
        assert shown(lab[0], "over1")["mtu"] == 1430


def test_hosts_behind_nat_reach_the_others_and_not_the_reverse():
    with ExitStack() as stack:
        lab = open_lab(stack, Topology(hosts=4, nat=(2, 3)))
        assert lab[2].address == "192.168.200.12"
        assert reach(lab, 2, 0) == {"ok"}
        assert reach(lab, 2, 3) == {"ok"}  # they share the private network
        assert reach(lab, 0, 2) <= UNREACHABLE
        assert reach(lab, 0, 1) == {"ok"}
        with lab[0].socket() as server, lab[2].socket() as client:
            server.bind(("", PORT + 2))
            server.listen()
            client.settimeout(RUN)
            client.connect((lab[0].address, PORT + 2))
            accepted, (seen, _) = server.accept()
            accepted.close()
            assert seen == "10.77.0.1"  # the router's address, as the others see it


def test_a_gateway_does_not_lead_into_the_private_network():
    with ExitStack() as stack:
        lab = open_lab(stack, Topology(hosts=2, nat=(1,), gateway=True))
        assert reach(lab, 0, 1) <= UNREACHABLE
        assert reach(lab, 1, 0) == {"ok"}


def test_shared_memory_and_clocks_of_a_hosts_own():
    program = "import os, time; s = os.statvfs('/dev/shm'); print(s.f_blocks * s.f_frsize, time.monotonic())"
    with Lab(Topology(hosts=2, shm=1 << 20, uptimes=(0, 1_000_000))) as lab:
        said = [host.run(["python3", "-c", program], timeout=RUN).stdout.split() for host in lab]
        assert [int(size) for size, _ in said] == [1 << 20, 1 << 20]
        assert 999_000 < float(said[1][1]) - float(said[0][1]) < 1_001_000
        lab[0].path("/dev/shm/of-h0").write_text("x")
        assert not lab[1].path("/dev/shm/of-h0").exists()


E0 = Network()
WRONG = [
    (Topology(hosts=0), ("hosts",), "1 to 64"),
    (Topology(networks=()), ("networks",), "at least one"),
    (Topology(networks=(E0, Network(subnet="10.78.0.0/24"))), ("networks", 1, "interface"), "a name of its own"),
    (Topology(networks=(Network(interface="much-too-long-a-name"),)), ("networks", 0, "interface"), "1 to 15"),
    (Topology(networks=(E0, Network(interface="eth1"))), ("networks", 1, "subnet"), "overlaps 10.77.0.0/24"),
    (Topology(networks=(Network(subnet=None),)), ("networks", 0, "subnet"), "neither subnet nor subnet6"),
    (Topology(networks=(Network(subnet="10.77.0.1/24"),)), ("networks", 0, "subnet"), "host bits set"),
    (Topology(networks=(Network(subnet6="10.77.0.0/24"),)), ("networks", 0, "subnet6"), "no IPv6 subnet"),
    (Topology(hosts=6, networks=(Network(subnet="10.77.0.0/28"),)), ("networks", 0, "subnet"), "make it /27"),
    (Topology(networks=(Network(kind="routed"),)), ("networks", 0, "subnet"), "make it /23"),
    (Topology(networks=(Network(hosts=(0, 5)),)), ("networks", 0, "hosts"), "there is no host 5"),
    (Topology(networks=(Network(hosts=(0,)),)), ("networks",), "host 1 is on no network"),
    (Topology(networks=(Network(mtu=10),)), ("networks", 0, "mtu"), "68 to 65535"),
    (Topology(networks=(Network(subnet6="fd77::/64", mtu=1000),)), ("networks", 0, "mtu"), "IPv6 needs 1280"),
    (
        Topology(networks=(E0, Network(interface="v0", kind="vxlan", over="eth7", subnet="10.78.0.0/24"))),
        ("networks", 1, "over"),
        "no network before this one has the interface 'eth7'",
    ),
    (
        Topology(networks=(E0, Network(interface="v0", kind="vlan", tag=5000, subnet="10.78.0.0/24"))),
        ("networks", 1, "tag"),
        "1 to 4094",
    ),
    (
        Topology(networks=(E0, Network(interface="v0", kind="vxlan", mtu=1500, subnet="10.78.0.0/24"))),
        ("networks", 1, "mtu"),
        "at most 1450",
    ),
    (
        Topology(nat=(1,), networks=(E0, Network(interface="v0", kind="vxlan", subnet="10.78.0.0/24"))),
        ("networks", 1, "hosts"),
        "behind nat",
    ),
    (Topology(nat=(7,)), ("nat",), "there is no host 7"),
    (Topology(nat=(1,), nat_subnet="10.77.0.0/25"), ("nat_subnet",), "overlaps"),
    (Topology(nat=(1,), networks=(Network(subnet=None, subnet6="fd77::/64"),)), ("nat",), "IPv4 subnet"),
    (Topology(shm=1), ("shm",), "at least 4096"),
    (Topology(uptimes=(1, 2, 3)), ("uptimes",), "one for each"),
]


@pytest.mark.parametrize(("topology", "path", "words"), WRONG)
def test_what_is_wrong_with_a_topology_is_said_with_field_and_remedy(topology, path, words):
    assert any(where == path and words in text for where, text in problems(topology)), problems(topology)
    with pytest.raises(UsageError, match=".".join(map(str, path))):
        Lab(topology)
