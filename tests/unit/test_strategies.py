"""What the strategies draw: of the right form, valid where that is asked for, and never beyond what a plan can hold."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commcheck.catalog.env import Kind, known
from commcheck.generate import strategies as cc
from commcheck.generate.config import Config, scenario
from commcheck.generate.parameter import Validity
from commcheck.generate.space import LAST, chosen, host_space, lab_space, slow
from commcheck.generate.variables import samples
from commcheck.model.case import Address, HostFacts, Interface
from commcheck.model.diagnosis import Verdict
from commcheck.model.scenario import Scenario
from commcheck.model.topology import Network, Topology
from commcheck.planner import local_plan

FACTS = HostFacts(
    host="",
    hostname="here",
    interfaces=(
        Interface(name="lo", up=True, carrier=True, loopback=True, mtu=65536,
                  addresses=(Address(family="ipv4", address="127.0.0.1", prefix=8),)),
        Interface(name="eth0", up=True, carrier=True, loopback=False, mtu=1500,
                  addresses=(Address(family="ipv4", address="10.0.0.5", prefix=24),)),
    ),
)  # fmt: skip
LAB = Topology(hosts=3, networks=(Network(subnet6="fd00:77::/64"), Network(interface="eth1", subnet="10.78.0.0/24")))
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PATIENT
@given(cc.configs(FACTS) | cc.configs(lab=LAB, max_size=6) | cc.rows(facts=FACTS) | cc.rows(lab=LAB))
def test_a_configuration_is_a_scenario_and_a_plan(config):
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
    kept = scenario(config, "drawn", Verdict.HEALTHY)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Scenario) == kept
    assert all(int(rank) < config.world.size for rank in config.ranks)
    assert all(host < LAB.hosts for host in config.world.hosts)
    plan = local_plan(size=config.world.size, base={}, env=config.world.env)
    assert len(plan.ranks) == config.world.size
    for rank, own in config.ranks.items():
        assert config.environment(int(rank)).items() >= own.env.items()


@given(st.data())
def test_every_variable_of_the_catalogue_has_values_of_its_kind(data):
    row = data.draw(st.sampled_from(list(known().values())))
    value = data.draw(cc.values_of(row, FACTS, valid=True))
    if row.kind is Kind.ENUM and not row.several:
        assert value.upper() in {c.upper() for c in row.choices}
    if row.kind in {Kind.INTEGER, Kind.SECONDS} and value.lstrip("-").isdigit():
        assert row.low is None or int(value) >= row.low
        assert row.high is None or int(value) <= row.high


@pytest.mark.parametrize("name", sorted(known()))
def test_samples_name_each_value_once_and_some_are_good(name):
    found = samples(known()[name], ("eth0", "lo"), ("127.0.0.1",))
    assert len({s.value for s in found}) == len(found)
    assert any(s.validity is not Validity.INVALID for s in found)


def test_the_syntaxes_of_interfaces_differ():
    gloo = {s.value: s.validity for s in samples(known()["GLOO_SOCKET_IFNAME"], ("eth0", "eth1"))}
    nccl = {s.value: s.validity for s in samples(known()["NCCL_SOCKET_IFNAME"], ("eth0", "eth1"))}
    assert gloo["=eth0"] is Validity.INVALID
    assert nccl["=eth0"] is Validity.VALID
    assert gloo["eth"] is Validity.INVALID
    assert nccl["eth"] is Validity.VALID
    assert gloo["eth0,eth1"] is nccl["eth0,eth1"] is Validity.VALID


@given(cc.ports(valid=True))
def test_valid_ports_are_ports(port):
    assert 1024 <= int(port) <= 65535


@given(cc.calls(size=3), cc.groups(3), cc.shapes(), cc.placements(5, 2), cc.timeouts(), cc.init_methods())
def test_calls_groups_and_placements(call, groups, shape, placement, timeout, method):
    assert (call.reduce_op != "") == (call.op in cc.REDUCING)
    assert 0 <= call.root < 3
    assert all(group and set(group) <= {0, 1, 2} for group in groups)
    assert all(side >= 0 for side in shape)
    assert len(placement) == 5
    assert set(placement) <= {0, 1}
    assert timeout is None or timeout > 0
    assert "://" in method or method in {"env", ""}


def test_the_usual_parameters_need_no_fresh_interpreter():
    for space in (chosen(lab_space(LAB)), chosen(host_space(FACTS))):
        assert slow(space) == ()
        assert {"size", "address", "port", "init", "GLOO_SOCKET_IFNAME" + LAST} <= {p.name for p in space.parameters}
        names = [[c.name for c in p.choices] for p in space.parameters]
        assert all(len(set(n)) == len(n) for n in names)


def test_focus_takes_patterns():
    space = chosen(lab_space(LAB), ["NCCL_IB_*", "size"])
    assert space.parameters[0].name == "size"
    assert all(p.name == "size" or p.name.startswith("NCCL_IB_") for p in space.parameters)


def test_a_setting_of_the_last_rank_is_the_last_ones_whatever_the_size():
    space = chosen(lab_space(LAB), ["size", "GLOO_SOCKET_IFNAME@last"])
    row = list(space.start)
    row[1] = 1
    for n, choice in enumerate(space.parameters[0].choices):
        row[0] = n
        config = space.config(tuple(row))
        assert list(config.ranks) == [str(int(choice.name) - 1)]
