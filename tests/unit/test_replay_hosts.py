"""Recorded facts as virtual hosts: which interfaces are on one network, which routers there are, what is said to be missing."""

from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.lab.validity import problems
from commcheck.model.case import (
    Address,
    Case,
    HostFacts,
    Interface,
    NameLookup,
    Origin,
    PhaseRecord,
    RankRecord,
    Route,
    World,
)
from commcheck.model.diagnosis import Diagnosis, Role
from commcheck.model.phase import Phase, PhaseStatus
from commcheck.model.plan import Place, Plan, RankPlan
from commcheck.model.taxonomy import Stage, Symptom
from commcheck.replay.cause import can_be_made, with_cause
from commcheck.replay.hosts import rebuilt


def interface(name, *addresses, up=True, carrier=True, mtu=1500, loopback=False):
    made = tuple(
        Address(family="ipv6" if ":" in a else "ipv4", address=a.partition("/")[0], prefix=int(a.partition("/")[2]))
        for a in addresses
    )
    return Interface(name=name, up=up, carrier=carrier, loopback=loopback, mtu=mtu, addresses=made)


LO = interface("lo", "127.0.0.1/8", loopback=True)


def host(name, *interfaces, routes=(), **more):
    own = [
        Route(destination=str(ip_interface(f"{a.address}/{a.prefix}").network), gateway="", interface=i.name)
        for i in interfaces
        if i.up
        for a in i.addresses
    ]
    return HostFacts(host=name, interfaces=(LO, *interfaces), routes=(*own, *routes), **more)


def joined(made):
    """The interfaces that are on one network, by host."""
    nets = {}
    for dress in made.dresses:
        for wire in dress.wires:
            nets.setdefault(wire.network, []).append((dress.name, wire.name))
    return sorted(nets.values())


def test_subnets_tell_networks_and_names_are_kept():
    made = rebuilt((
        host("a", interface("ens5", "10.1.2.3/20"), interface("ib0", "192.168.0.1/24", mtu=4092)),
        host("b", interface("eno1", "10.1.9.9/20", mtu=9000), interface("ib0", "192.168.0.2/24")),
    ))  # fmt: skip
    assert joined(made) == [[("a", "ens5"), ("b", "eno1")], [("a", "ib0"), ("b", "ib0")]]
    assert problems(made.topology) == []
    assert "addr add 10.1.2.3/20 dev ens5 broadcast +" in made.dresses[0].commands
    assert "link set ens5 mtu 1500" in made.dresses[0].commands
    assert made.mtus == (9000, 4092)
    assert made.notes == ()


def test_docker_s_bridge_joins_nobody():
    hosts = [
        host(n, interface("eth0", f"10.0.0.{i}/24"), interface("docker0", "172.17.0.1/16", carrier=False))
        for i, n in enumerate("abc", 1)
    ]
    made = rebuilt(tuple(hosts))
    assert joined(made) == [[("a", "eth0"), ("b", "eth0"), ("c", "eth0")]]
    assert "link add docker0 type bridge" in made.dresses[2].commands
    plugged = [host(n, interface("docker0", "172.17.0.1/16")) for n in "ab"]
    assert joined(rebuilt(tuple(plugged))) == [[("a", "docker0")], [("b", "docker0")]]


def test_two_hosts_with_one_address_stay_on_one_network():
    made = rebuilt((host("a", interface("eth0", "10.0.0.1/24")), host("b", interface("eth0", "10.0.0.1/24"))))
    assert joined(made) == [[("a", "eth0"), ("b", "eth0")]]


def test_gateways_are_in_the_switch_unless_a_host_is_one():
    out = Route(destination="0.0.0.0/0", gateway="10.0.0.254", interface="eth0")
    back = Route(destination="10.9.0.0/16", gateway="10.0.0.1", interface="eth0")
    made = rebuilt(
        (
            host("a", interface("eth0", "10.0.0.1/24"), routes=(out,)),
            host("b", interface("eth0", "10.0.0.2/24"), routes=(out, back)),
        )
    )
    assert made.gateways == {0: ("10.0.0.254/24",)}
    assert "route replace 0.0.0.0/0 via 10.0.0.254 dev eth0" in made.dresses[1].commands
    assert "route replace 10.9.0.0/16 via 10.0.0.1 dev eth0" in made.dresses[1].commands


def test_a_missing_route_stays_missing():
    facts = host("a", interface("eth0", "10.0.0.1/24"), interface("eth1", "10.1.0.1/24"))
    less = tuple(r for r in facts.routes if r.interface != "eth1")
    made = rebuilt((HostFacts(host="a", interfaces=facts.interfaces, routes=less),))
    assert "route del 10.1.0.0/24 dev eth1" in made.dresses[0].commands
    assert not [c for c in made.dresses[0].commands if c.startswith("route del 10.0.0.0")]


def test_names_resolve_as_they_did():
    lookups = (
        NameLookup(name="n0", kind="forward", addresses=("127.0.1.1",)),
        NameLookup(name="n1", kind="forward", error="EAI_NONAME"),
        NameLookup(name="slow", kind="forward", error="no answer within 1.2 s"),
        NameLookup(name="10.0.0.1", kind="forward", addresses=("10.0.0.1",)),
    )
    made = rebuilt((host("n0", interface("eth0", "10.0.0.1/24"), lookups=lookups),))
    assert made.dresses[0].hosts_file.splitlines()[2:] == ["127.0.1.1 n0"]
    assert made.notes == ("n0: the look-up of slow had no answer; here it fails at once",)


def test_a_host_without_any_network_gets_none():
    made = rebuilt((host("a", interface("eth0", "10.0.0.1/24")), host("b")))
    assert problems(made.topology) == []
    assert made.dresses[1].commands == ("link del ccnet1",)


def test_more_hosts_than_a_lab_has_are_said():
    made = rebuilt(tuple(host(f"n{i}", interface("eth0", f"10.0.{i // 200}.{i % 200 + 1}/16")) for i in range(70)))
    assert made.topology.hosts == 64
    assert "6 of 70 hosts are left out" in made.notes[0]


ADDRESSES = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/8").flatmap(lambda a: st.integers(8, 32).map(lambda p: f"{a}/{p}")),
    st.ip_addresses(v=6, network="fd00::/8").flatmap(lambda a: st.integers(16, 128).map(lambda p: f"{a}/{p}")),
)
INTERFACES = st.builds(
    lambda name, addresses, up, carrier, mtu: interface(name, *addresses, up=up, carrier=carrier, mtu=mtu),
    st.sampled_from(["eth0", "eth1", "ens5", "docker0", "br-1a2b", "ib0"]), st.lists(ADDRESSES, max_size=3, unique=True), st.booleans(),
    st.booleans(), st.integers(0, 1 << 20),
)  # fmt: skip


@given(st.lists(st.lists(INTERFACES, max_size=4, unique_by=lambda i: i.name), min_size=1, max_size=5))
def test_any_facts_give_a_lab_that_can_be_built(hosts):
    facts = tuple(host(f"n{i}", *interfaces) for i, interfaces in enumerate(hosts))
    made = rebuilt(facts)
    assert problems(made.topology) == []
    assert len(made.dresses) == len(facts)
    for dress, before in zip(made.dresses, facts, strict=True):
        named = [w.name for w in dress.wires] + [c.split()[2] for c in dress.commands if c.startswith("link add")]
        assert sorted(named) == sorted(i.name for i in before.interfaces if not i.loopback)
        assert len({w.network for w in dress.wires}) == len(dress.wires)


# -- causes that facts do not show


def found(cause, *ranks, **more):
    return Diagnosis(
        symptom=Symptom.SETUP_HANG_TIMEOUT, cause=cause, code="CC1", title="x", confidence=0.9, role=Role.ROOT, stage=Stage.SETUP, ranks=ranks, **more
    )  # fmt: skip


PLAN = Plan(
    size=2, backend="gloo",
    ranks=tuple(RankPlan(slot=n, environment={"RANK": str(n)}, place=Place(host=f"n{n}")) for n in range(2)),
)  # fmt: skip
CASE = Case(
    origin=Origin.WORLD,
    world=World(size=2, backend="gloo", master_port=29511),
    hosts=tuple(host(f"n{n}", interface("ens5", f"10.0.0.{n + 1}/24")) for n in range(2)),
    ranks=tuple(
        RankRecord(
            slot=n, rank=n, world_size=2, host=f"n{n}",
            phases=(PhaseRecord(phase=Phase.GROUP, status=PhaseStatus.RUNNING, begin=0.0, seconds=0.0),),
        )
        for n in range(2)
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("diagnosis", "kind", "fields"),
    [
        (found("port-dropped", 0), "drop", {"hosts": (0,), "ports": "29511"}),
        (found("data-ports-refused", 1), "reject", {"hosts": (1,), "ports": "!= 29511"}),
        (found("stale-store", 0), "old-store", {"hosts": (0,), "port": 29511}),
        (found("link-lossy", 1), "loss", {"hosts": (1,), "interface": "ens5"}),
        (found("partition", 1), "partition", {"groups": ((1,), (0,))}),
    ],
)
def test_a_concluded_fault_is_made_at_its_hosts(diagnosis, kind, fields):
    made = with_cause(PLAN, CASE, diagnosis, ("n0", "n1"))
    (fault,) = made.faults
    assert fault.__struct_config__.tag == kind
    assert {n: getattr(fault, n) for n in fields} == fields
    assert "not because it was seen" in made.note
    assert can_be_made(diagnosis.cause)


def test_a_concluded_end_of_a_rank_is_made_in_its_phase():
    made = with_cause(PLAN, CASE, found("rank-killed", 1), ())
    assert [[(f.name, f.phase) for f in r.faults] for r in made.plan.ranks] == [[], [("kill", "group")]]


@pytest.mark.parametrize(
    "diagnosis", [None, found("driver-mismatch", 0), found("port-dropped", 0, hosts=("elsewhere",))]
)
def test_what_cannot_be_made_is_said(diagnosis):
    made = with_cause(PLAN, CASE, diagnosis, ())
    assert (made.plan, made.faults) == (PLAN, ())
    assert made.note.startswith("--with-cause: ")
