"""The address that NCCL would take on each host is tried from the others, and where it cannot be reached that is named."""

import contextlib
import os
import time

import pytest
from faulty import made

from commcheck.api import host_facts, preflight
from commcheck.diagnose.match import judge
from commcheck.lab import Lab
from commcheck.model.case import Case, Origin
from commcheck.model.diagnosis import Role
from commcheck.model.plan import Plan, RankPlan
from commcheck.model.topology import Network, Topology
from commcheck.planner import local_plan
from commcheck.probe.nccl_find import VARIABLE, find
from commcheck.runtime.launcher import Launcher

FOUND = find(os.environ)
pytestmark = [
    pytest.mark.xdist_group("nccl"),
    pytest.mark.skipif(not FOUND.path, reason=f"no libnccl here: install nvidia-nccl-cu12, or name one in {VARIABLE}"),
]
TOPOLOGY = Topology(hosts=3, networks=(Network(), Network(interface="eth1", subnet="10.78.0.0/24")), docker0=True)


@pytest.fixture(scope="module")
def lab():
    with Lab(TOPOLOGY) as several:
        yield several


def looked_at(lab, *environments, backend="nccl"):
    ranks = tuple(
        RankPlan(slot=n, environment={VARIABLE: FOUND.path, **e}, place=place, backend=backend)
        for n, (place, e) in enumerate(zip(lab.places, environments, strict=True))
    )
    return host_facts(Plan(size=len(ranks), backend=backend, ranks=ranks))


def causes(facts):
    judged = judge(Case(origin=Origin.STATIC, hosts=facts))
    return {d.cause: d for d in judged.diagnoses}


def test_hosts_that_reach_each_other_are_left_in_peace(lab):
    begin = time.monotonic()
    facts = looked_at(lab, {}, {}, {"NCCL_SOCKET_IFNAME": "=eth1"})
    print(f"3 hosts: {time.monotonic() - begin:.2f} s")
    assert [f.nccl.answer.address for f in facts] == ["10.77.0.10", "10.77.0.11", "10.78.0.12"]
    assert [[r.outcome for r in f.nccl.reached] for f in facts] == [["ok", "ok"]] * 3
    assert not {c for c in causes(facts) if c.startswith("nccl-")}


def test_an_address_of_one_host_alone_is_named(lab):
    facts = looked_at(lab, {"NCCL_SOCKET_IFNAME": "docker"}, {}, {})
    found = causes(facts)["nccl-address-unreachable"]
    assert found.confidence >= 0.9
    assert found.hosts == ("h0",)
    assert {(link.source, link.target) for link in found.links} == {("h1", "h0"), ("h2", "h0")}
    assert "172.17.0.1 (docker0), which h1, h2 cannot reach" in found.title
    assert found.fixes[0].set == {"NCCL_SOCKET_IFNAME": "=eth0"}


def test_loopback_between_hosts_is_named(lab):
    found = causes(looked_at(lab, {}, {"NCCL_SOCKET_IFNAME": "lo"}, {}))["nccl-address-unreachable"]
    assert "127.0.0.1 (lo)" in found.title
    assert found.hosts == ("h1",)


def test_a_firewall_is_named_with_the_direction(lab):
    lab[1].nft("table inet closed { chain in { type filter hook input priority 0; iifname eth0 tcp dport 30000-65535 "
               "ct state new ip saddr 10.77.0.10 reject with tcp reset; }; }")  # fmt: skip
    try:
        found = causes(looked_at(lab, {}, {}, {}))["nccl-address-unreachable"]
    finally:
        lab[1].nft("delete table inet closed")
    assert [(link.source, link.target) for link in found.links] == [("h0", "h1")]
    assert any("refused" in e.text for e in found.evidence)


def test_a_world_of_gloo_asks_nothing(lab):
    assert [f.nccl for f in looked_at(lab, {}, {}, {}, backend="gloo")] == [None] * 3


def a_world(lab, faults=(), **environment):
    """What a world with NCCL's backend came to on two hosts. Without a GPU it ends when the group is to be formed: what is
    tried before that is the same."""
    base = {"PATH": os.environ["PATH"], VARIABLE: FOUND.path, **environment}
    plan = local_plan(
        size=2, backend="nccl", base=base, master_addr=lab[0].address, master_port=29500, places=lab.places[:2]
    )
    kept = []
    with Launcher(base) as launcher, contextlib.ExitStack() as stack:
        for kind, terms in faults:
            stack.enter_context(made(lab, kind, **terms))
        report = preflight(plan, launcher=launcher, try_fixes=False, keep=kept.append)
    return kept[0], report


def leading(report):
    """What is not a consequence. Where a refusal comes at once, the ranks also come to the missing NCCL of this torch."""
    return [d for d in report.diagnoses if d.role is Role.ROOT and d.cause != "backend-not-built"]


def test_ranks_of_nccl_try_the_addresses_that_nccl_takes(lab):
    case, _ = a_world(lab, NCCL_SOCKET_IFNAME="=eth1")
    assert [r.published[-1].address for r in case.ranks] == ["10.78.0.10", "10.78.0.11"]
    assert {(p.target, p.outcome.value) for r in case.ranks for p in r.probes if p.kind == "data"} == {
        ("10.78.0.10", "ok"),
        ("10.78.0.11", "ok"),
    }


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (("drop", {"hosts": (0, 1), "ports": "!= 29500"}), "data-ports-dropped"),
        (("reject", {"hosts": (0, 1), "ports": "!= 29500"}), "data-ports-refused"),
        (("mtu", {"hosts": (1,), "interface": "eth0", "mtu": 1200}), "mtu-mismatch"),
    ],
)
def test_what_keeps_two_hosts_of_one_network_apart_is_named_itself(lab, fault, cause):
    _, report = a_world(lab, [fault])
    assert [d.cause for d in leading(report)] == [cause]


def test_an_interface_of_one_host_alone_is_left_by_a_setting_of_nccls(lab):
    _, report = a_world(lab, NCCL_SOCKET_IFNAME="docker")
    leads = leading(report)[0]
    assert leads.cause in ("interface-unroutable", "nccl-address-unreachable", "duplicate-address")
    settings = [*leads.fixes[0].set.items(), *(i for s in leads.fixes[0].rank_set.values() for i in s.items())]
    assert set(settings) == {("NCCL_SOCKET_IFNAME", "=eth0")}
