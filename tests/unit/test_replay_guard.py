"""Bundles from anybody: what could do harm is refused or taken out, whatever it is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.diagnose import build
from commcheck.diagnose.match import judge
from commcheck.errors import InputError, UsageError
from commcheck.model.case import Address, Case, HostFacts, Interface, NameLookup, Origin, Route
from commcheck.model.diagnosis import Verdict
from commcheck.model.plan import FaultAt, Place, Plan, RankPlan
from commcheck.model.scenario import Expect, World
from commcheck.model.script import Part, Play, Script, encode
from commcheck.replay.bundle import RECORDED, SCHEMA, Bundle, Head
from commcheck.replay.guard import checked
from commcheck.replay.hosts import rebuilt
from commcheck.scenarios.kinds import file_type, specs

RANK = RankPlan(slot=0, environment={"RANK": "0"})
PLAN = Plan(size=1, backend="gloo", ranks=(RANK,))
CASE = Case(origin=Origin.WORLD)
REPORT = build.report(CASE, judge(CASE), command=(), seconds=0.0)


def bundle(plan=PLAN, *, scenario=None, hosts=()):
    head = Head(schema=SCHEMA, origin="preflight", name="", seed=None, versions={})
    return Bundle(head=head, plan=plan, case=replace(CASE, hosts=tuple(hosts)), report=REPORT, scenario=scenario)


def test_programs_and_places_of_others_are_not_used():
    evil = replace(RANK, python="/tmp/evil", cgroups=("/etc",), place=Place(host="n", pid=1, netns="x"))
    plan = checked(
        bundle(replace(PLAN, ranks=(evil,), given=b"pickle", base_environment={"A": "b"})), trust=False
    ).bundle.plan
    assert plan.ranks == (replace(RANK, place=Place(host="n")),)
    assert (plan.given, plan.base_environment) == (b"", {})


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (replace(PLAN, workload="pytest_item"), "workload 'pytest_item'"),
        (replace(PLAN, workload="../x"), "workload"),
        (replace(PLAN, size=10**9), "1 to 4096 are run again"),
        (replace(PLAN, ranks=(replace(RANK, slot=3),)), "not numbered from 0"),
        (replace(PLAN, ranks=(replace(RANK, faults=(FaultAt(name="os.system"),)),)), "fault 'os.system' is not known"),
        (replace(PLAN, ranks=(replace(RANK, limits={"x": (1, 1)}),)), "limit 'x'"),
        (replace(PLAN, ranks=(replace(RANK, environment={"A": "b\0c"}),)), "no environment can hold"),
        (replace(PLAN, workload=RECORDED, given=b"{}"), "the bundle's recording"),
    ],
)
def test_what_no_bundle_of_ours_holds_is_refused(plan, says):
    with pytest.raises(InputError, match=says):
        checked(bundle(plan), trust=True)


def test_commands_need_trust():
    shell = replace(PLAN, ranks=(replace(RANK, faults=(FaultAt(name="shell", argument="rm x"),)),))
    with pytest.raises(UsageError, match=r"runs 'rm x'.*--trust"):
        checked(bundle(shell), trust=False)
    assert checked(bundle(shell), trust=True).bundle.plan.ranks[0].faults
    declared = file_type()(
        title="x",
        expect=Expect(verdict=Verdict.UNHEALTHY, cause="rank-killed"),
        fault=(specs()["shell"](rank=0, argument="rm x"),),
    )
    with pytest.raises(UsageError, match="--trust"):
        checked(bundle(scenario=declared), trust=False)
    loads = replace(declared, fault=(), world=World(env={"LD_PRELOAD": "/tmp/x.so"}))
    with pytest.raises(UsageError, match=r"LD_PRELOAD=/tmp/x\.so loads code"):
        checked(bundle(scenario=loads), trust=False)


def test_a_scenario_that_is_in_no_order_is_refused():
    wrong = file_type()(title="x", expect=Expect(verdict=Verdict.HEALTHY), world=World(size=2, workload="pytest_item"))
    with pytest.raises(InputError, match="workload 'pytest_item'"):
        checked(bundle(scenario=wrong), trust=True)
    outside = file_type()(title="x", expect=Expect(verdict=Verdict.HEALTHY), fault=(specs()["kill"](rank=9),))
    with pytest.raises(InputError, match="the bundle's scenario: fault"):
        checked(bundle(scenario=outside), trust=True)


TEXT = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["eth0\nnetns exec x sh", "e th", "eth0;x", "../x", "10.0.0.1", "10.0.0.0/8", "fe80::1%eth0", "fd00::1", "lo", "a" * 40]),
)  # fmt: skip
FACTS = st.builds(
    lambda host, interfaces, routes, lookups, ports: HostFacts(host=host, interfaces=tuple(interfaces), routes=tuple(routes), lookups=tuple(lookups), port_range=ports),
    TEXT,
    st.lists(st.builds(
        Interface, name=TEXT, up=st.booleans(), carrier=st.booleans(), loopback=st.booleans(), mtu=st.integers(-5, 1 << 40),
        addresses=st.lists(st.builds(Address, family=TEXT, address=TEXT, prefix=st.integers(-3, 200)), max_size=2).map(tuple),
    ), max_size=3),
    st.lists(st.builds(Route, destination=TEXT, gateway=TEXT, interface=TEXT), max_size=3),
    st.lists(st.builds(NameLookup, name=TEXT, kind=st.just("forward"), addresses=st.lists(TEXT, max_size=2).map(tuple)), max_size=3),
    st.none() | st.tuples(st.integers(-9, 99999), st.integers(-9, 99999)),
)  # fmt: skip


@given(st.lists(FACTS, min_size=1, max_size=3))
def test_no_fact_becomes_a_command_of_its_own(facts):
    made = rebuilt(checked(bundle(hosts=facts), trust=False).bundle.case.hosts)
    for dress in made.dresses:
        for line in dress.commands:
            assert line.isprintable()
            assert line.split()[0] in {"link", "addr", "route"}
            assert line.split()[1] in {"add", "del", "set", "flush", "replace"}
        for line in dress.hosts_file.splitlines():
            assert line.startswith("::1 localhost") or len(line.split()) == 2


PLAYS = st.builds(
    Play, op=st.sampled_from(["all_reduce", "send", "broadcast", "exec"]), dtype=TEXT, label=TEXT, seq=st.integers(0, 9),
    group=st.integers(-3, 3), size=st.integers(-1, 1 << 50), elements=st.integers(0, 9), peer=st.integers(-2, 4),
)  # fmt: skip


@given(
    st.lists(st.lists(PLAYS, max_size=2).map(tuple), max_size=3),
    st.lists(st.lists(st.integers(-1, 3), max_size=3).map(tuple), max_size=2).map(tuple),
)
def test_no_recording_makes_a_rank_do_what_it_cannot(parts, groups):
    made = Script(parts=tuple(Part(rank=n, calls=calls) for n, calls in enumerate(parts)), groups=groups)
    plan = Plan(size=1, backend="gloo", ranks=(), workload=RECORDED, given=encode(made))
    try:
        kept = checked(bundle(plan), trust=False).bundle.plan
    except InputError:
        return
    for number, part in enumerate(msgspec.json.decode(kept.given, type=Script).parts):
        for call in part.calls:
            members = range(len(parts)) if call.group == -1 else groups[call.group]
            assert number in members
            assert call.peer == -1 or call.peer in members
            assert 0 <= call.size <= 1 << 16
            assert call.op != "exec"
