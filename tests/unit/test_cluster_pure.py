"""Rounds, blame, statistics and the judgement of what was collected, without any network."""

from itertools import combinations, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.cluster import addresses, agent, blame, drift, exclude, judge, reach, responder, rounds, speed
from commcheck.cluster.values import Card, Collected, Flow, Measured, PortTry, Reached, Target
from commcheck.engines.nodelist import expand
from commcheck.model.case import Address, HostFacts, Interface, NameLookup, Route
from commcheck.model.cluster import Reach
from commcheck.model.diagnosis import Verdict

# --- rounds -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 65))
def test_every_pair_meets_once_in_as_few_rounds_as_can_be(hosts):
    made = rounds.rounds(hosts)
    assert len(made) == (0 if hosts < 2 else hosts - 1 if hosts % 2 == 0 else hosts)
    for one in made:
        ends = [h for pair in one for h in pair]
        assert len(ends) == len(set(ends)) == hosts - hosts % 2
    assert sorted(pair for one in made for pair in one) == list(combinations(range(hosts), 2))


@given(st.integers(2, 300), st.integers(1, 40))
def test_some_rounds_give_every_host_as_many_links_and_none_twice(hosts, most):
    made = rounds.rounds(hosts, most)
    assert len(made) == min(most, rounds.count(hosts))
    pairs = [pair for one in made for pair in one]
    assert len(set(pairs)) == len(pairs)
    assert all(len(one) == hosts // 2 for one in made)


@given(st.integers(20, 300))
def test_mixed_rounds_bring_all_hosts_together_soon(hosts):
    made = rounds.mixed(hosts, 4)
    pairs = [pair for one in made for pair in one]
    assert len(set(pairs)) == len(pairs) == 4 * (hosts // 2)
    assert rounds.mixed(hosts, 9)[:4] == made
    assert len(blame.groups([d for a, b in pairs for d in ((a, b), (b, a))], range(hosts))) == 1


@given(st.integers(0, 40), st.integers(1, 20))
def test_waves_are_the_round_in_parts(hosts, at_once):
    one = rounds.nth(hosts, 0)
    parts = rounds.waves(one, at_once)
    assert sum(parts, ()) == one
    assert all(0 < len(p) <= at_once for p in parts)


# --- who is to blame ----------------------------------------------------------------------------------------------


def directions(hosts):
    return {(a, b) for a in range(hosts) for b in range(hosts) if a != b}


@given(st.integers(5, 20), st.data())
def test_bad_hosts_and_bad_links_are_told_apart(hosts, data):
    bad = data.draw(st.sets(st.integers(0, hosts - 1), max_size=hosts // 5))
    good = sorted(set(range(hosts)) - bad)
    link = tuple(data.draw(st.permutations(good))[:2])
    failing = {d for d in directions(hosts) if set(d) & bad} | {link}
    found = blame.blame(failing, directions(hosts))
    assert found.hosts == dict.fromkeys(bad, "both")
    assert found.links == (link,)


@pytest.mark.parametrize(("side", "end"), [("out", 0), ("in", 1)])
def test_the_side_of_a_host_on_which_it_fails_is_told(side, end):
    failing = {d for d in directions(8) if d[end] == 3}
    assert blame.blame(failing, directions(8)).hosts == {3: side}


def test_where_all_fails_or_there_are_only_two_nobody_is_worse():
    assert blame.blame(directions(4), directions(4)).hosts == {}
    assert blame.blame({(0, 1)}, directions(2)) == blame.Blamed(hosts={}, links=((0, 1),))


# --- statistics -----------------------------------------------------------------------------------------------------


@given(st.integers(4, 16), st.randoms(use_true_random=False), st.data())
def test_a_slow_host_is_slow_in_all_its_directions_and_nobody_else_is(hosts, luck, data):
    bad = data.draw(st.integers(0, hosts - 1))
    rates = {d: luck.uniform(9.0, 11.0) * (0.2 if bad in d else 1.0) for d in directions(hosts)}
    assert set(speed.slow(rates)) == {d for d in rates if bad in d}


@given(st.integers(2, 16), st.randoms(use_true_random=False))
def test_hosts_alike_are_none_of_them_slow_or_late(hosts, luck):
    values = {d: luck.uniform(8.0, 12.0) for d in directions(hosts)}
    assert speed.slow(values) == {}
    assert speed.late({d: 10 * v for d, v in values.items()}) == {}


@pytest.mark.parametrize("seed", range(20))
def test_where_all_differ_widely_none_stands_out(seed):
    luck = Random(seed)
    assert speed.slow({d: 10.0 ** luck.uniform(-2, 2) for d in directions(12)}) == {}


def test_two_hosts_have_no_usual_rate():
    assert speed.slow({(0, 1): 10.0, (1, 0): 0.1}) == {}
    assert speed.usual([1.0, 2.0]) is None


def test_a_loss_needs_more_than_an_accident():
    assert speed.lossy({(0, 1): (100, 1), (1, 0): (100, 3)}) == {}
    assert set(speed.lossy({(0, 1): (100, 4), (1, 0): (100, 2), (0, 2): (100, 0)})) == {(0, 1), (1, 0)}
    assert speed.lossy({(0, 1): (10_000, 9)}) == {}


# --- addresses ------------------------------------------------------------------------------------------------------


def facts(name, *interfaces, routes=(), **more):
    made = tuple(
        Interface(
            name=i, up=True, carrier=True, loopback=i == "lo", mtu=mtu,
            addresses=(Address(family="ipv6" if ":" in a else "ipv4", address=a, prefix=bits),),
        )
        for i, a, bits, mtu in interfaces
    )  # fmt: skip
    return HostFacts(host=name, hostname=name, interfaces=made, routes=routes, **more)


def test_the_shared_network_is_chosen_and_what_two_have_leads_nowhere():
    lo, docker = ("lo", "127.0.0.1", 8, 65536), ("docker0", "172.17.0.1", 16, 1500)
    hosts = {
        n: facts(f"h{n}", lo, docker, ("mgmt", f"192.168.{n}.5", 24, 1500), ("ib0", f"10.1.0.{n}", 16, 1500))
        for n in (1, 2, 3)
    }
    assert {n: c.address for n, c in addresses.chosen(hosts).items()} == {n: f"10.1.0.{n}" for n in hosts}
    assert {c.interface for c in addresses.chosen(hosts, "mgmt").values()} == {"mgmt"}
    assert addresses.chosen({1: facts("h1", lo)}) == {}


def test_without_a_shared_network_the_way_to_the_gateway_is_chosen():
    hosts = {
        n: facts(
            f"h{n}", ("a0", f"10.{n}.0.1", 24, 1500), ("b0", f"10.{n}.1.1", 24, 1500),
            routes=(Route(destination="0.0.0.0/0", gateway=f"10.{n}.1.254", interface="b0"),),
        )
        for n in (1, 2)
    }  # fmt: skip
    assert {c.interface for c in addresses.chosen(hosts).values()} == {"b0"}


@given(st.integers(1024, 60000), st.integers(0, 5000))
def test_the_parts_of_the_port_range_are_in_it_and_share_no_port(low, more):
    found = responder.parts((low, low + more))
    data = found[: -responder.LOW_PORTS]
    assert data[0][0] == low
    assert data[-1][1] == low + more
    assert all(a[1] + 1 == b[0] for a, b in pairwise(data))


# --- the judgement --------------------------------------------------------------------------------------------------


def collected(count, *, kernel=None, **changes):
    """A healthy cluster of so many hosts, of one machine where that one's `kernel` is given."""
    names = tuple(f"h{n}" for n in range(count))
    cards = {
        n: Card(
            name=f"h{n}",
            facts=facts(
                f"h{n}", ("eth0", f"10.0.0.{n}", 24, 1500), versions={"kernel": "6.1", "torch": "2.6.0"},
                lookups=(NameLookup(name=f"h{n}", kind="forward", addresses=(f"10.0.0.{n}",)),),
                identity=f"{kernel or n}/{n}",
            ),
            mark=b"m",
            ports=(40000, 50000),
        )
        for n in range(count)
    }  # fmt: skip
    targets = {
        n: Target(rank=n, name=f"h{n}", address=f"10.0.0.{n}", ports=(40000, 50000), mark=b"m") for n in range(count)
    }
    reached = {a: tuple(fine(b) for b in range(count) if b != a) for a in range(count)}
    quiet = tuple(link(a, b) for a, b in combinations(range(count), 2))
    whole = {
        "names": names, "cards": cards, "targets": targets, "interfaces": dict.fromkeys(range(count), "eth0"),
        "reached": reached, "quiet": quiet, "loaded": quiet,
    }  # fmt: skip
    return Collected(**(whole | changes))


def fine(rank, **changes):
    ports = tuple(PortTry(port=p, reach=Reach.OK) for p in (40000, 50000))
    return Reached(**({"rank": rank, "ports": ports, "large": Reach.OK, "named": (f"10.0.0.{rank}",)} | changes))


def link(a, b, gbit=10.0, us=50.0, lost=0, ahead=0.0):
    flow = Flow(gbit=gbit, sent=100, lost=lost)
    return Measured(source=a, target=b, connect_us=us, there=flow, back=flow, ahead=ahead, ahead_error=0.001)


def judged(found):
    return judge.report(found, command=("commcheck", "cluster"), begun=0.0, seconds=1.0)


def test_a_healthy_cluster_is_called_so():
    done = judged(collected(6))
    assert (done.verdict, done.diagnoses, done.drift, done.bad_hosts) == (Verdict.HEALTHY, (), (), ())
    assert done.reach[2] == "oo-ooo"


def test_what_stood_out_once_and_not_again_is_no_finding():
    quiet = tuple(link(a, b, gbit=2.0 if (a, b) == (0, 1) else 10.0) for a, b in combinations(range(6), 2))
    assert speed.stands_out(quiet) == ((0, 1),)
    assert judged(collected(6, quiet=quiet, again=(link(0, 1),))).verdict is Verdict.HEALTHY
    again = judged(collected(6, quiet=quiet, again=(link(0, 1, gbit=2.1),)))
    assert [(d.cause, d.hosts) for d in again.diagnoses] == [("link-slow", ("h0", "h1"))]
    assert again.bad_hosts == ()
    assert judged(collected(6, quiet=quiet)).verdict is Verdict.HEALTHY, "never without a second look"


def test_between_hosts_of_one_kernel_a_rate_that_only_the_processors_explain_is_no_finding():
    def of(gbit):
        quiet = tuple(link(a, b, gbit=gbit if (a, b) == (0, 1) else 10.0) for a, b in combinations(range(6), 2))
        return judged(collected(6, kernel="one", quiet=quiet, again=(link(0, 1, gbit=gbit),)))

    assert of(2.0).verdict is Verdict.HEALTHY
    assert [d.cause for d in of(0.9).diagnoses] == ["link-slow"]


def test_a_late_host_is_found_by_its_round_trips():
    quiet = tuple(link(a, b, us=2000.0 if 4 in (a, b) else 50.0) for a, b in combinations(range(6), 2))
    again = tuple(m for m in quiet if m.target == 4)[:3]
    done = judged(collected(6, quiet=quiet, again=again))
    assert [(d.cause, d.hosts) for d in done.diagnoses] == [("link-slow", ("h4",))]
    assert "2.0 ms" in done.diagnoses[0].title


def test_one_value_that_is_wrong_is_enough():
    bad = Measured(source=1, target=2, there=Flow(gbit=10.0, right=False), back=Flow(gbit=10.0))
    done = judged(collected(6, loaded=(bad,)))
    assert [(d.cause, d.hosts) for d in done.diagnoses] == [("wrong-values", ("h1", "h2"))]


def test_names_that_nobody_knows_are_not_used_and_that_is_said():
    reached = {a: tuple(fine(b, named=(), name_error="EAI_NONAME") for b in range(4) if b != a) for a in range(4)}
    done = judged(collected(4, reached=reached))
    assert (done.verdict, done.diagnoses) == (Verdict.HEALTHY, ())
    assert "no host's name" in done.notes[0]


def test_a_name_that_one_host_does_not_know_is_that_hosts_fault():
    reached = collected(4).reached | {2: tuple(fine(b, named=(), name_error="EAI_NONAME") for b in (0, 1, 3))}
    done = judged(collected(4, reached=reached))
    assert [(d.cause, d.hosts) for d in done.diagnoses] == [("host-unresolvable", ("h2",))]


@given(st.sampled_from([k for k in Reach if k not in {Reach.OK, Reach.ITSELF, Reach.NOT_TRIED}]), st.integers(0, 5))
def test_whatever_keeps_a_host_from_being_reached_is_found_on_it(kind, bad):
    def met(b):
        if b != bad:
            return fine(b)
        if kind in {Reach.SMALL_ONLY, Reach.WRONG_VALUES}:
            return fine(b, large=kind)
        if kind is Reach.UNRESOLVED:
            return fine(b, named=("10.9.9.9",))
        ports = (PortTry(port=40000, reach=Reach.DROPPED if kind is Reach.SOME_PORTS else kind),)
        more = (PortTry(port=50000, reach=Reach.OK if kind is Reach.SOME_PORTS else kind),)
        return fine(b, ports=ports + more, large=Reach.OK if kind is Reach.SOME_PORTS else Reach.NOT_TRIED)

    reached = {a: tuple(met(b) for b in range(6) if b != a) for a in range(6)}
    done = judged(collected(6, reached=reached))
    assert done.verdict is Verdict.UNHEALTHY
    assert {row[bad] for a, row in enumerate(done.reach) if a != bad} == {kind}
    (one,) = done.diagnoses
    if kind is not Reach.UNRESOLVED:
        assert one.hosts == (f"h{bad}",)
    assert done.bad_hosts == (f"h{bad}",)


SILENT = tuple(PortTry(port=p, reach=Reach.DROPPED) for p in (40000, 50000))
TOLD, OWN = "02:00:00:00:de:ad", "02:00:00:00:00:04"


@pytest.mark.parametrize(
    ("sources", "told", "cause", "hosts"),
    [
        ((2,), TOLD, "neighbour-wrong", ("h2",)),
        ((2,), OWN.upper(), "port-dropped", ("h2", "h4")),  # what was set is right
        ((0, 1, 2, 3, 5), TOLD, "port-dropped", ("h4",)),  # one entry does not keep the others away
    ],
)
def test_a_wrong_hardware_address_is_blamed_for_what_it_can_do_alone(sources, told, cause, hosts):
    def met(a, b):
        if b == 4 and a in sources:
            return fine(b, ports=SILENT, large=Reach.NOT_TRIED, fixed=told if a == 2 else "")
        if a == 4 and b in sources:  # the answers go astray too
            return fine(b, ports=SILENT, large=Reach.NOT_TRIED)
        return fine(b)

    found = collected(6, reached={a: tuple(met(a, b) for b in range(6) if b != a) for a in range(6)})
    (eth0,) = found.cards[4].facts.interfaces
    done = judged(changed(found, 4, interfaces=(replace(eth0, mac=OWN),)))
    assert [(d.cause, d.hosts) for d in done.diagnoses if d.cause != "link-slow"] == [(cause, hosts)]


def test_a_cluster_of_which_nothing_is_known_is_not_judged():
    done = judged(collected(1))
    assert done.verdict is Verdict.INCONCLUSIVE


# --- what differs ----------------------------------------------------------------------------------------------------


def changed(found, rank, **more):
    card = found.cards[rank]
    own = {k: v for k, v in more.items() if k != "environment"}
    made = replace(card, facts=replace(card.facts, **own), environment=more.get("environment", card.environment))
    return replace(found, cards=found.cards | {rank: made})


def test_another_kernel_is_shown_and_nobody_accused():
    done = judged(changed(collected(5), 3, versions={"kernel": "6.8", "torch": "2.6.0"}))
    assert done.verdict is Verdict.HEALTHY
    assert [(d.kind, d.name, d.values) for d in done.drift] == [
        ("kernel", "kernel", {"6.1": ("h0", "h1", "h2", "h4"), "6.8": ("h3",)})
    ]


def test_another_torch_and_another_variable_are_findings():
    found = changed(
        collected(5), 3, versions={"kernel": "6.1", "torch": "2.5.1"}, environment={"NCCL_ALGO": "Ring", "RANK": "3"}
    )
    done = judged(found)
    assert {(d.cause, d.hosts) for d in done.diagnoses} == {
        ("version-mismatch", ("h3",)),
        ("env-differs-between-ranks", ("h3",)),
    }
    assert {(d.kind, d.name) for d in done.drift} == {("version", "torch"), ("variable", "NCCL_ALGO")}
    same_release = changed(collected(5), 3, versions={"kernel": "6.1", "torch": "2.6.0+cpu"})
    assert judged(same_release).verdict is Verdict.HEALTHY


def test_a_clock_that_is_off_is_told_by_round_trips():
    quiet = tuple(link(a, b, ahead=30.0 * ((b == 2) - (a == 2))) for a, b in combinations(range(4), 2))
    (one,) = drift.drift(collected(4, quiet=quiet))
    assert (one.kind, one.values) == ("clock", {"in step": ("h0", "h1", "h3"), "30.0 s ahead": ("h2",)})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n", "535.104.05"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (dvs-builder)\n",
            "560.35.03",
        ),
        ("", None),
    ],
)
def test_the_drivers_version_is_read_where_there_is_one(text, version):
    assert agent.with_driver(facts("h0"), text).versions.get("nvidia-driver") == version


# --- hosts to leave out ------------------------------------------------------------------------------------------------


@given(st.lists(st.from_regex(r"[a-z]{1,3}(-[a-z])?[0-9]{0,3}", fullmatch=True), unique=True, max_size=30))
def test_a_hostlist_is_read_back_as_the_same_hosts(names):
    assert sorted(expand(exclude.hostlist(tuple(names)))) == sorted(names)


def test_hosts_to_leave_out_in_each_form():
    yaml = pytest.importorskip("yaml")
    reached = {
        a: tuple(fine(b) if 2 not in (a, b) else fine(b, large=Reach.SMALL_ONLY) for b in range(5) if b != a)
        for a in range(5)
    }
    done = judged(collected(5, reached=reached))
    written = {name: form.render(done) for name, form in exclude.FORMS.items()}
    assert written["slurm"] == "h2\n"
    assert written["mpi"].split() == ["h0", "h1", "h3", "h4"]
    terms = yaml.safe_load(written["kubernetes"])["affinity"]["nodeAffinity"]
    (term,) = terms["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["h2"]}]
    assert reach.matrix(reach.look(collected(2))) == ("-o", "o-")
