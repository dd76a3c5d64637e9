"""NCCL's choice of an interface: what we predict is what the library itself does, on hosts with many interfaces."""

import ipaddress
import os
import time

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from commcheck.lab import Lab
from commcheck.model.topology import Network, Topology
from commcheck.predict.nccl_interfaces import SUCCESS, choose
from commcheck.probe.nccl_child import Question
from commcheck.probe.nccl_find import VARIABLE, find
from commcheck.probe.nccl_library import Child, asking

FOUND = find(os.environ)
pytestmark = [
    pytest.mark.xdist_group("nccl"),
    pytest.mark.skipif(not FOUND.path, reason=f"no libnccl here: install nvidia-nccl-cu12, or name one in {VARIABLE}"),
]
SETTINGS = 400
TOPOLOGY = Topology(
    hosts=5,
    networks=(Network(subnet6="fd77::/64"), Network(interface="eth1", subnet="10.78.0.0/24", hosts=(0, 1))),
    docker0=True,
    down="eth2",
    bare="eth3",
)
CABLES = {
    0: ("eth10 10.80.0.1/24", "ib0 10.81.0.1/16", "ib0 fd81::1/64", "virbr0 192.168.122.1/24", "enp1s0f0 fd82::1/64"),
    1: ("virbr0 192.168.122.1/24", "br-1a2b 172.18.0.1/16", "eno1 10.83.0.1/30", "eno1 10.83.0.5/30"),
    2: ("virbr0 192.168.122.1/24",),
    3: ("en0 fd84::1/64", "docker1 172.19.0.1/16"),
    4: (),
}
"""Further interfaces of each host, with an address each, in this order."""
TAKEN_DOWN = {2: ("eth0", "docker0", "eth3"), 3: ("eth0", "docker0"), 4: ("eth0", "docker0", "eth3")}
NAMES = ("eth", "eth0", "eth1", "eth10", "eth2", "eth3", "ib", "ib0", "docker0", "docker", "virbr0", "lo", "l", "en", "eno1",
         "enp1s0f0", "br-", "nope", "e", "eth0:1", " eth0", "x" * 63)  # fmt: skip
RESOLVED = {"h0": ("10.77.0.10",), "h1": ("10.77.0.11",), "nope": (), "not a name": ()}


def cable(host, number, name, address):
    """A veth pair inside the host, both ends up: an interface that runs, as one with a cable does."""
    if number is not None:
        far = f"p{number}-{name}"
        host.ip("link", "add", name, "type", "veth", "peer", "name", far)
        host.ip("link", "set", far, "addrgenmode", "none")
        host.ip("link", "set", name, "up")
        host.ip("link", "set", far, "up")
    host.ip("addr", "add", address, "dev", name)


@pytest.fixture(scope="module")
def children():
    with Lab(TOPOLOGY) as lab:
        for host in lab:
            made = set()
            for number, spec in enumerate(CABLES[host.number]):
                name, address = spec.split()
                cable(host, None if name in made else number, name, address)
                made.add(name)
            for name in TAKEN_DOWN.get(host.number, ()):
                host.ip("link", "set", name, "down")
        opened = [Child(place) for place in lab.places]
        try:
            yield opened
        finally:
            for child in opened:
                child.close()


names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(",".join)
many = st.lists(st.sampled_from(("zz", "eth9", "q")), min_size=17, max_size=18).map(",".join).map(lambda t: t + ",eth0")
ifname = st.one_of(
    names,
    st.tuples(st.sampled_from(("=", "^", "^=", "^", "=^")), names).map("".join),
    st.one_of(many, st.text(alphabet="=^,:eth0ib1 lo", max_size=8)),
)
comm_id = st.one_of(
    st.tuples(
        st.sampled_from(
            ("10.77.0.10", "10.78.0.200", "10.81.7.7", "10.83.0.6", "127.0.0.1", "172.17.0.9", "10.99.0.1", "1.2.3.4",
             "10.77.10", "0x0a4d0001", "h0", "h1", "nope", "not a name", "", "300.1.1.1", "fd77::1")
        ),
        st.sampled_from((":29500", ":0", "", ":", ":99999", ":http", ": 7", ":-1", ",x", ":1:2")),
    ).map("".join),
    st.tuples(
        st.sampled_from(("fd77::1", "fd81::5", "fe80::1", "::1", "fe80::1%eth0", "fe80::1%nope", "fd77::9%eth1", "zz", "")),
        st.sampled_from(("]:29500", "]:x", "]", "", "]29500", "]:70000")),
    ).map(lambda pair: f"[{pair[0]}{pair[1]}"),
    st.sampled_from(("", "x", ":", "10.77.0.10:1,10.78.0.1:2")),
)  # fmt: skip
family = st.sampled_from(("AF_INET", "AF_INET", "AF_INET6", "AF_INET6", "af_inet", ""))
wishes = st.one_of(
    st.fixed_dictionaries({"NCCL_SOCKET_IFNAME": ifname}, optional={"NCCL_SOCKET_FAMILY": family}),
    st.fixed_dictionaries({"NCCL_SOCKET_IFNAME": ifname}),
    st.fixed_dictionaries({"NCCL_COMM_ID": comm_id}, optional={"NCCL_SOCKET_IFNAME": ifname}),
    st.fixed_dictionaries({}, optional={"NCCL_SOCKET_FAMILY": family}),
)


def plain(address):
    whole, _, zone = address.partition("%")
    return (ipaddress.ip_address(whole), zone) if address else None


def test_our_prediction_is_the_librarys_choice(children):
    asked, outcomes, begin = [], {}, time.monotonic()

    @settings(
        max_examples=SETTINGS,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(st.integers(0, len(children) - 1), wishes)
    def equal(number, wish):
        reply = children[number].ask(Question(path=FOUND.path, settings=(asking({"HOME": "/nonexistent", **wish}),)))
        assert not reply.failed, reply.failed
        expected = choose(wish, reply.addresses, reply.version, RESOLVED)
        assume(expected.result is not None)
        (got,) = reply.answers
        assert not got.failed, got
        shown = (number, wish, expected, got)
        assert got.result == expected.result, shown
        if expected.result == SUCCESS:
            assert got.interface == expected.interface, shown
            assert plain(got.address) == plain(expected.address), shown
            assert not any(line.startswith("commcheck:") for line in got.said), shown
            if "NCCL_COMM_ID" in wish:
                assert got.port == expected.port, shown
        asked.append((number, tuple(sorted(wish.items()))))
        key = (expected.result, expected.interface)
        outcomes[key] = outcomes.get(key, 0) + 1

    equal()
    seconds = time.monotonic() - begin
    print(f"{len(set(asked))} different settings, all as predicted, {seconds:.1f} s: {outcomes}")
    assert len(set(asked)) >= 200
    assert {result for result, _ in outcomes} >= {SUCCESS, 2, 4}
    assert len({interface for _, interface in outcomes}) >= 8
