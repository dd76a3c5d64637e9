"""The address that NCCL would take on each host is tried from the others, and where it cannot be reached that is named."""

import os
import time

import pytest

from commcheck.api import host_facts
from commcheck.diagnose.match import judge
from commcheck.lab import Lab
from commcheck.model.case import Case, Origin
from commcheck.model.plan import Plan, RankPlan
from commcheck.model.topology import Network, Topology
from commcheck.probe.nccl_find import VARIABLE, find

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
