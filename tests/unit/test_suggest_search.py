"""The search against worlds that are made up by a rule: what it answers forms, and nothing of it can be left out."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.model.case import Address, HostFacts, Interface, NameLookup, Route
from commcheck.model.diagnosis import Diagnosis, Role, Verdict
from commcheck.model.phase import Phase
from commcheck.model.plan import Place
from commcheck.model.taxonomy import Stage, Symptom
from commcheck.predict.model import Outlook, Prediction, predict
from commcheck.suggest.advice import for_nccl
from commcheck.suggest.choices import Knob, knobs, port_candidates, world_plan
from commcheck.suggest.environment import split
from commcheck.suggest.model import Cluster, Setting, Trial
from commcheck.suggest.networks import leads, networks
from commcheck.suggest.search import DOUBTED, search

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = ("MASTER_ADDR", "GLOO_SOCKET_IFNAME", "MASTER_PORT", "RES_OPTIONS")
PLENTY = 1000


def interface(name, *addresses, up=True):
    made = tuple(
        Address(family="ipv6" if ":" in a else "ipv4", address=a, prefix=64 if ":" in a else 24) for a in addresses
    )
    return Interface(name=name, up=up, carrier=up, loopback=name == "lo", mtu=1500, addresses=made)


def host(name, *interfaces, routes=(), **more):
    return HostFacts(
        host=name, hostname=name, interfaces=(interface("lo", "127.0.0.1"), *interfaces), routes=routes, **more
    )


def cluster(*hosts, **more):
    places = tuple(Place(host=h.host, netns=h.host) for h in hosts)
    return Cluster(hosts=hosts, places=places, size=len(hosts), **more)


TWO = cluster(host("h0", interface("eth0", "10.0.0.1")), host("h1", interface("eth0", "10.0.0.2")))


def diagnosis(cause):
    return Diagnosis(
        symptom=Symptom.SETUP_FAILURE, cause=cause, code="CC000", title=f"for {cause}", confidence=0.9, role=Role.ROOT,
        stage=Stage.SETUP,
    )  # fmt: skip


GOOD = Trial(verdict=Verdict.HEALTHY, seconds=0.1, values_checked=32)


def bad(phase=Phase.STORE, touches=(), cause="x"):
    return Trial(verdict=Verdict.UNHEALTHY, seconds=0.1, phase=phase, touches=touches, diagnosis=diagnosis(cause))


def made_up(choices):
    """Variables with that many choices each, all of them always worth a try."""
    return tuple(
        Knob(
            name=name,
            choices=tuple(Setting(name=name, values={"h0": f"{name}{i}", "h1": f"{name}{i}"}) for i in range(count)),
            bears_on=frozenset({Phase.RESOLVE}),
        )
        for name, count in choices.items()
    )


def drive(knobs_, world, where=TWO, worlds=PLENTY, foreseen=lambda *_: False):
    """Run a search against worlds that are a function of candidate and order; what was asked, and how it ended."""

    def predicted(candidate, order):
        outlook = Outlook.FAILS if foreseen(candidate, order) else Outlook.UNKNOWN
        return Prediction(outlook=outlook, reason="")

    asking = search(where, knobs_, predicted)
    asked = []
    try:
        question = next(asking)
        while True:
            if len(asked) >= worlds:
                question = asking.send(None)
                raise AssertionError("it goes on although the budget is used up")
            asked.append(question)
            question = asking.send(world(*question))
    except StopIteration as done:
        return asked, done.value


def told(candidate):
    return {s.name: s.values["h0"] for s in candidate}


@st.composite
def needs(draw):
    """How many choices each variable has, and which value it has to have for the world to form (or none)."""
    counts = {n: draw(st.integers(1, 3)) for n in NAMES}
    wanted = draw(st.sets(st.sampled_from(NAMES)))
    return counts, {n: f"{n}{draw(st.integers(0, counts[n] - 1))}" for n in wanted}


@PATIENT
@given(needs(), st.booleans())
def test_exactly_what_is_needed_is_found_and_each_of_it_was_taken_away(made, helpful):
    counts, wanted = made

    def world(candidate, _):
        wrong = [n for n, v in wanted.items() if told(candidate).get(n) != v]
        return bad(phase=Phase.RESOLVE, touches=tuple(wrong[:1]) if helpful else ()) if wrong else GOOD

    asked, found = drive(made_up(counts), world)
    assert told(found.settings) == wanted
    assert sorted(r.setting for r in found.removals) == sorted(wanted)
    assert not found.fixed_order
    assert not found.not_proven
    tried = [(frozenset(told(c).items()), o) for c, o in asked]
    assert len(tried) == len(set(tried)), "a world was run twice"
    for name in wanted:
        without = frozenset((n, v) for n, v in wanted.items() if n != name)
        assert any(t == without for t, _ in tried)
    assert {o for c, o in asked if told(c) == wanted} == set(TWO.orders)


@PATIENT
@given(needs(), st.data())
def test_a_prediction_that_is_wrong_costs_no_more_than_worlds(made, data):
    """What is said to fail beforehand is tried last, and the proof finds out where it was wrong."""
    counts, wanted = made
    lies = data.draw(st.sets(st.frozensets(st.sampled_from(NAMES))))

    def world(candidate, _):
        return bad(phase=Phase.RESOLVE) if [n for n, v in wanted.items() if told(candidate).get(n) != v] else GOOD

    def foreseen(candidate, _):
        return frozenset(told(candidate)) in lies

    _, found = drive(made_up(counts), world, foreseen=foreseen)
    if found.settings is not None:
        assert told(found.settings) == wanted


@PATIENT
@given(needs(), st.integers(0, 30))
def test_a_budget_is_kept_and_what_it_did_not_reach_is_said(made, worlds):
    counts, wanted = made

    def world(candidate, _):
        return bad(phase=Phase.RESOLVE) if [n for n, v in wanted.items() if told(candidate).get(n) != v] else GOOD

    asked, found = drive(made_up(counts), world, worlds=worlds)
    assert len(asked) <= worlds
    if found.settings is None:
        assert found.not_proven
    elif not found.not_proven and not found.fixed_order:
        assert told(found.settings) == wanted
    if found.fixed_order:
        assert {o for c, o in asked if c == found.settings} == {TWO.names}


@PATIENT
@given(st.integers(1, 3))
def test_where_nothing_forms_the_nearest_is_told(count):
    def world(candidate, _):
        return bad(phase=Phase.GROUP if told(candidate).get("MASTER_ADDR") else Phase.STORE, cause=f"n{len(candidate)}")

    asked, found = drive(made_up(dict.fromkeys(NAMES, count)), world)
    assert found.settings is None
    assert set(told(found.failed_with)) == {"MASTER_ADDR"}
    assert found.failed.cause == "n1"
    assert asked[0][0] == ()


def test_what_forms_in_one_order_alone_is_passed_over_for_what_forms_in_both():
    reverse = TWO.names[::-1]

    def world(candidate, order):
        return bad(phase=Phase.RESOLVE) if order == reverse and "RES_OPTIONS" not in told(candidate) else GOOD

    _, found = drive(made_up({"MASTER_ADDR": 1, "RES_OPTIONS": 1}), world)
    assert told(found.settings) == {"RES_OPTIONS": "RES_OPTIONS0"}
    assert [(r.setting, r.luck, r.order) for r in found.removals] == [("RES_OPTIONS", True, reverse)]


def test_what_can_only_form_in_one_order_is_offered_with_that_said():
    def world(_, order):
        return GOOD if order == TWO.names else bad(phase=Phase.RESOLVE, cause="one-way")

    _, found = drive(made_up({"MASTER_ADDR": 2}), world)
    assert found.settings == ()
    assert found.fixed_order == "for one-way"


def test_another_address_of_the_store_is_no_remedy_for_what_failed_after_it():
    def world(candidate, _):
        return bad(phase=Phase.GROUP if candidate else Phase.STORE)

    asked, _ = drive(made_up({"MASTER_ADDR": 3}), world)
    assert [len(c) for c, _ in asked] == [0, 1]


def test_ports_are_tried_one_after_the_other_for_as_long_as_the_port_is_to_blame():
    ports = tuple(Setting(name="MASTER_PORT", values={"h0": str(p), "h1": str(p)}) for p in (1, 2, 3, 4))
    knob = Knob(name="MASTER_PORT", choices=ports, bears_on=frozenset(), asked=True)

    def world(candidate, _):
        return GOOD if told(candidate).get("MASTER_PORT") == "3" else bad(cause="port-dropped")

    asked, found = drive((knob,), world)
    assert [told(c).get("MASTER_PORT") for c, _ in asked] == [None, "1", "2", "3", "3"]
    assert told(found.settings) == {"MASTER_PORT": "3"}
    assert len(drive((knob,), lambda *_: bad(cause="other"))[0]) == 1


def test_what_is_predicted_to_fail_is_tried_at_last():
    asked, found = drive(made_up(dict.fromkeys(NAMES, 1)), lambda *_: bad(), foreseen=lambda c, _: bool(c))
    assert len(asked) == 1 + DOUBTED
    assert found.failed is not None


def test_a_failure_that_nothing_explains_is_tried_again_before_it_is_believed():
    """A busy machine's one bad world must not make a setting out of nothing."""
    tried = []

    def world(candidate, order):
        tried.append(candidate)
        return replace(bad(), diagnosis=None) if len(tried) == 1 else GOOD

    _, found = drive(made_up({"MASTER_ADDR": 2}), world)
    assert found.settings == ()
    assert tried == [(), (), ()]  # again, and in the other order


def test_a_world_that_cannot_be_judged_is_no_proof():
    def world(candidate, _):
        return GOOD if candidate else Trial(verdict=Verdict.INCONCLUSIVE, seconds=20, phase=Phase.RESOLVE)

    _, found = drive(made_up({"MASTER_ADDR": 1}), world)
    assert told(found.settings) == {"MASTER_ADDR": "MASTER_ADDR0"}
    assert found.not_proven == "the world without MASTER_ADDR could not be judged"
    assert [r.judged for r in found.removals] == [False]


# --- what the facts offer


def test_an_address_that_two_hosts_have_is_no_way_between_them():
    a = host("a", interface("docker0", "172.17.0.1"), interface("eth0", "10.0.0.1"))
    b = host("b", interface("docker0", "172.17.0.1"), interface("ens3", "10.0.0.2"))
    (way,) = networks((a, b))
    assert way.interfaces == {"a": "eth0", "b": "ens3"}
    assert way.addresses == {"a": "10.0.0.1", "b": "10.0.0.2"}


def test_routes_tell_the_interfaces_where_no_subnet_is_shared():
    over = Route(destination="0.0.0.0/0", gateway="10.9.0.1", interface="wan")
    a = host("a", interface("eth0", "10.0.0.1"))
    b = host("b", interface("lan", "10.7.0.2"), interface("wan", "10.9.0.2"), routes=(over,))
    (way,) = networks((a, b))
    assert way.interfaces == {"a": "eth0", "b": "wan"}
    assert leads(b, "10.7.0.9").name == "lan"


def test_interfaces_that_are_down_and_link_local_addresses_are_no_ways():
    a = host("a", interface("eth0", "10.0.0.1", up=False), interface("eth1", "fe80::1", "fd00::1"))
    b = host("b", interface("eth0", "10.0.0.2"), interface("eth1", "fe80::2", "fd00::2"))
    (way,) = networks((a, b))
    assert way.addresses == {"a": "fd00::1", "b": "fd00::2"}


ADDRESS = st.integers(0, 3).map(lambda n: f"10.{n}.0.")


@PATIENT
@given(st.data())
def test_every_way_has_an_interface_and_an_address_of_its_own_on_each_host(data):
    hosts = []
    for number in range(data.draw(st.integers(2, 4))):
        own = data.draw(st.lists(ADDRESS, unique=True, max_size=3))
        made = [interface(data.draw(st.sampled_from(["eth", "en"])) + str(i), f"{a}{data.draw(st.integers(1, 3))}") for i, a in enumerate(own)]  # fmt: skip
        hosts.append(host(f"h{number}", *made))
    for way in networks(hosts):
        assert len(set(way.addresses.values())) == len(hosts)
        for facts in hosts:
            named = next(i for i in facts.interfaces if i.name == way.interfaces[facts.host])
            assert way.addresses[facts.host] in {a.address for a in named.addresses}


@PATIENT
@given(st.lists(st.tuples(st.integers(1024, 65535), st.integers(1024, 65535)).map(sorted).map(tuple), max_size=2))
def test_ports_are_outside_of_what_the_kernel_gives_away_where_that_leaves_any(ranges):
    hosts = [HostFacts(host=str(i), port_range=r) for i, r in enumerate(ranges)]
    ports = port_candidates(hosts)
    assert ports
    assert all(1024 <= p <= 65535 for p in ports)
    inside = [p for p in ports if any(low <= p <= high for low, high in ranges)]
    assert not inside or inside == list(ports)


def test_the_choices_for_two_hosts_are_names_addresses_and_interfaces():
    names = tuple(
        NameLookup(name=n, kind="forward", addresses=(a,)) for n, a in (("h0", "10.0.0.1"), ("h1", "10.0.0.2"))
    )
    where = cluster(
        host("h0", interface("eth0", "10.0.0.1"), lookups=names),
        host("h1", interface("ens3", "10.0.0.2"), lookups=names),
        ports=(29500, 29501),
    )
    by_name = {k.name: [s.values for s in k.choices] for k in knobs(where)}
    assert by_name["MASTER_ADDR"] == [{"h0": "h0", "h1": "h1"}, {"h0": "10.0.0.1", "h1": "10.0.0.2"}]
    assert by_name["GLOO_SOCKET_IFNAME"] == [{"h0": "eth0", "h1": "ens3"}]
    assert by_name["MASTER_PORT"] == [{"h0": "29501", "h1": "29501"}]
    address, interfaces = knobs(where)[0].choices[0], knobs(where)[1].choices[0]
    plan = world_plan(where, (address, interfaces), ("h1", "h0"))
    assert [r.environment["MASTER_ADDR"] for r in plan.ranks] == ["h1", "h1"]
    assert [r.environment["GLOO_SOCKET_IFNAME"] for r in plan.ranks] == ["ens3", "eth0"]
    assert [r.place.host for r in plan.ranks] == ["h1", "h0"]
    assert predict(plan, where.hosts).outlook is Outlook.FORMS
    assert predict(world_plan(where, (), where.names), where.hosts).outlook is Outlook.FAILS


def test_nccl_is_advised_only_where_its_own_choice_is_another_interface():
    def between(*first):
        return cluster(
            host("h0", *first, interface("eth1", "10.0.0.1")), host("h1", interface("eth1", "10.0.0.2")), backend="nccl"
        )

    assert for_nccl(between(), ()) == ()
    assert for_nccl(between(interface("docker0", "172.17.0.1")), ()) == ()
    (setting,) = for_nccl(between(interface("virbr0", "192.168.122.1")), ())
    assert (setting.name, setting.values) == ("NCCL_SOCKET_IFNAME", {"h0": "=eth1", "h1": "=eth1"})


def test_a_shell_is_split_into_what_stays_and_what_is_to_be_found_out():
    kept, left = split(
        {"PATH": "/bin", "RANK": "1", "MASTER_ADDR": "x", "GLOO_SOCKET_IFNAME": "a", "NCCL_ODD": "1", "LD_PRELOAD": "y"}
    )
    assert kept == {"PATH": "/bin", "LD_PRELOAD": "y"}
    assert left == {"MASTER_ADDR": "x", "GLOO_SOCKET_IFNAME": "a", "NCCL_ODD": "1"}
