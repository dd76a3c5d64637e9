"""The rules about links: whom they blame, and that they hold back while what would move the blame is still under way."""

import pytest
from msgspec.structs import replace

from commcheck.diagnose import linking, match
from commcheck.diagnose.rules.interfaces import interface_differs_between_ranks, interface_unroutable
from commcheck.diagnose.rules.links import (
    address_order_dependent,
    data_ports_dropped,
    duplicate_address,
    link_lossy,
    link_slow,
    mtu_mismatch,
    neighbour_silent,
    one_way_blocked,
    partition,
)
from commcheck.diagnose.rules.pace import link_flapping
from commcheck.diagnose.rules.rendezvous import store_timeout_too_short
from commcheck.model.case import (
    SENT_BACK,
    Address,
    Case,
    Ended,
    Exit,
    HostFacts,
    Interface,
    Origin,
    Outcome,
    PhaseRecord,
    Probe,
    Published,
    RankError,
    RankRecord,
    Socket,
    World,
)
from commcheck.model.diagnosis import Role
from commcheck.model.phase import PHASES, Phase, PhaseStatus
from commcheck.model.taxonomy import Symptom

OK, SILENT, STUCK = Outcome.OK, Outcome.TIMED_OUT, Outcome.STALLED


def address(number):
    return f"10.77.0.{10 + number}"


def data(peer, outcome=OK, **more):
    return Probe(kind="data", target=address(peer), port=40000 + peer, outcome=outcome, peer_rank=peer, **more)


def bulk(peer, outcome=OK, **more):
    return Probe(kind="bulk", target=address(peer), port=40000 + peer, outcome=outcome, peer_rank=peer, **more)


def phases(last, status=PhaseStatus.RUNNING):
    """All phases up to `last`, which is in `status`."""
    done = PHASES[: PHASES.index(last)]
    return (
        *(PhaseRecord(phase=p, status=PhaseStatus.OK, begin=0.0, seconds=0.1) for p in done),
        PhaseRecord(phase=last, status=status, begin=1.0, seconds=0.1),
    )


def facts(number, **interface):
    return HostFacts(
        host=f"h{number}",
        interfaces=(
            Interface(name="lo", up=True, carrier=True, loopback=True, mtu=65536),
            Interface(
                name="eth0", up=True, carrier=True, loopback=False, mtu=1500,
                addresses=(Address(family="ipv4", address=address(number), prefix=24),), **interface,
            ),
        ),
    )  # fmt: skip


def rank(number, *probes, size=3, last=Phase.PROBE, status=PhaseStatus.RUNNING, **more):
    """A rank on a host of its own that tries all others and has found out `probes`."""
    given = {
        "tries": tuple(r for r in range(size) if r != number),
        "published": (Published(rank=number, address=address(number), port=40000 + number),),
        "phases": phases(last, status),
    }
    return RankRecord(
        slot=number, rank=number, world_size=size, host=f"h{number}", started="warm", pid=100 + number, backend="gloo",
        probes=probes, **(given | more),
    )  # fmt: skip


def world(*ranks, ended=Ended.STALLED, hosts=None):
    return Case(
        origin=Origin.WORLD,
        world=World(size=len(ranks), backend="gloo"),
        hosts=tuple(facts(r.slot) for r in ranks) if hosts is None else hosts,
        ranks=ranks,
        ended=ended,
    )


def full(ends, size=3, **more):
    """All pairs tried; `ends` gives the bulk's outcome by (from, to), or the data's where that is no bulk outcome."""

    def probes(a, b):
        outcome = ends.get((a, b), OK)
        return (data(b), bulk(b, outcome)) if outcome in (OK, STUCK) else (data(b, outcome),)

    return tuple(
        rank(a, *(p for b in range(size) if b != a for p in probes(a, b)), size=size, **more) for a in range(size)
    )


# --- what is outstanding ------------------------------------------------------------------------------------------


def test_the_blame_waits_for_the_pairs_that_are_still_tried():
    """One stalled pair of three hosts names both its ends; with the rest known it is one of them."""
    first = world(
        rank(0, data(1), bulk(1), data(2)),
        rank(1, data(0), bulk(0), data(2), bulk(2, STUCK)),
        rank(2, data(0), data(1)),
    )
    early = mtu_mismatch.match(first)
    assert early.ranks == (1, 2)
    assert match.FLAGGED <= early.confidence < match.DECIDED
    assert not match.decided(first)
    assert linking.outstanding(first) == ((0, 2), (2, 0), (2, 1))
    assert any("not known yet" in e.text for e in early.evidence)
    late = world(*full({(0, 2): STUCK, (1, 2): STUCK, (2, 0): STUCK, (2, 1): STUCK}))
    found = mtu_mismatch.match(late)
    assert found.ranks == (2,)
    assert found.confidence >= match.DECIDED
    assert match.decided(late)
    assert linking.outstanding(late) == ()


def test_a_rank_that_has_not_set_out_yet_is_waited_for_too():
    case = world(rank(0, data(1, SILENT), size=2), rank(1, size=2, tries=()))
    assert linking.outstanding(case) == ((1, 0),)
    assert data_ports_dropped.match(case).confidence < match.DECIDED


@pytest.mark.parametrize(
    "lost",
    [
        {"exit": Exit(signal=9)},
        {"error": RankError(phase=Phase.PROBE, kind="RuntimeError", message="x")},
        {"phases": phases(Phase.GROUP)},
    ],
    ids=["dead", "failed", "further"],
)
def test_a_rank_that_probes_no_more_is_not_waited_for(lost):
    case = world(rank(0, data(1), bulk(1), size=2), rank(1, size=2, **lost))
    assert linking.outstanding(case) == ()


def test_a_rank_that_we_ended_was_still_to_be_heard():
    """What ends a watch does not turn half of the evidence into the whole."""
    case = world(rank(0, data(1, SILENT), size=2), rank(1, size=2, exit=Exit(signal=9, by_us=True)))
    assert linking.outstanding(case) == ((1, 0),)


def test_that_nobody_answers_for_a_rank_that_failed_before_proves_nothing():
    failed = RankError(phase=Phase.PROBE, kind="RuntimeError", message="no such dataset")
    refused = data(1, Outcome.REFUSED)
    case = world(rank(0, refused, size=2), rank(1, size=2, error=failed, status=PhaseStatus.FAILED))
    assert linking.blocked(case, Outcome.REFUSED).failed == {}
    later = RankError(phase=Phase.GROUP, kind="RuntimeError", message="connectFullMesh failed")
    case = world(rank(0, refused, size=2), rank(1, size=2, error=later, last=Phase.GROUP, status=PhaseStatus.FAILED))
    assert set(linking.blocked(case, Outcome.REFUSED).failed) == {(0, 1)}


def test_a_direction_whose_opposite_is_not_known_yet_does_not_decide():
    half = world(rank(0, data(1, SILENT), size=2), rank(1, data(0), size=2))
    found = match.judge(half).diagnoses[0]
    assert found.confidence < match.DECIDED
    whole = world(rank(0, data(1, SILENT), size=2), rank(1, data(0), bulk(0), size=2))
    found = one_way_blocked.match(whole)
    assert (found.ranks, found.confidence >= match.DECIDED) == ((1,), True)


def test_two_groups_are_a_partition_only_when_every_pair_is_known():
    cut = {(a, b): SILENT for a in range(4) for b in range(4) if (a < 2) != (b < 2)}
    assert partition.match(world(*full(cut, size=4))).confidence >= match.DECIDED
    ranks = full(cut, size=4)
    short = rank(3, *ranks[3].probes[1:], size=4)  # its probe of rank 0 is under way
    assert partition.match(world(*ranks[:3], short)).confidence < match.DECIDED


# --- what is said of a payload that did not come through ------------------------------------------------------------


def test_a_payload_of_which_a_part_arrived_is_no_matter_of_the_mtu():
    ranks = full({(0, 1): STUCK, (1, 0): STUCK}, size=2)
    assert mtu_mismatch.match(world(*ranks)) is not None
    partly = rank(0, data(1), bulk(1, STUCK, arrived=8192), size=2)
    back = rank(1, data(0), bulk(0), size=2)
    assert mtu_mismatch.match(world(partly, back)) is None


def test_where_a_host_has_shown_nothing_of_itself_the_links_do_not_decide():
    ranks = full({(0, 1): SILENT, (1, 0): SILENT}, size=2)
    assert data_ports_dropped.match(world(*ranks)).confidence >= match.DECIDED
    dark = HostFacts(host="h1", not_read=("no answer",))
    assert data_ports_dropped.match(world(*ranks, hosts=(facts(0), dark))).confidence < match.DECIDED


# --- what is measured of links that work ------------------------------------------------------------------------------

MEGABIT = 1e6 / 8
DONE = {"last": Phase.TEARDOWN, "status": PhaseStatus.OK}


def measured(size=3, *, lost=None, rates=None, sent=300, usual=20000 * MEGABIT, **more):
    """A world that came through, with lost packets and rates (bytes per second) by (from, to)."""
    lost, rates = lost or {}, rates or {}

    def found(a, b):
        return bulk(b, arrived=65536, sent=sent, lost=lost.get((a, b), 0), rate=rates.get((a, b), usual))

    ranks = (
        rank(a, *(p for b in range(size) if b != a for p in (data(b), found(a, b))), size=size, **DONE, **more)
        for a in range(size)
    )
    return world(*ranks, ended=Ended.FINISHED)


def test_losses_are_counted_by_direction_and_blamed_on_what_they_have_in_common():
    found = link_lossy.match(measured(lost={(0, 2): 12, (1, 2): 14}))
    assert found.ranks == (2,)
    assert found.hosts == ("h2",)
    assert {(x.source, x.target) for x in found.links} == {("h0", "h2"), ("h1", "h2")}
    assert found.confidence >= match.DECIDED
    assert "on the way to rank 2" in found.title
    assert found.against, "it came through, and that is said"
    assert link_lossy.match(measured(2, lost={(0, 1): 12})).ranks == (0, 1)
    assert link_lossy.match(measured(lost={(0, 2): 12, (1, 2): 2})).ranks == (2,), "chance put one below the bound"
    assert link_lossy.match(measured(lost={(0, 2): 12, (1, 2): 1})).ranks == (0, 2), "one packet says nothing"


@pytest.mark.parametrize(
    ("lost", "sent"), [({}, 300), ({(0, 2): 3}, 300), ({(0, 2): 12}, 1300), ({(0, 2): 0}, 0)],
    ids=["none", "few", "under one in a hundred", "not counted"],
)  # fmt: skip
def test_what_is_not_called_lossy(lost, sent):
    assert link_lossy.match(measured(lost=lost, sent=sent)) is None


def test_lost_connection_attempts_follow_from_losses():
    ranks = list(measured(lost={(0, 2): 60, (1, 2): 60}).ranks)
    ranks[1] = rank(1, data(0), bulk(0, sent=300), data(2, SILENT))
    judged = match.judge(world(*ranks))
    assert judged.diagnoses[0].cause == "link-lossy"
    assert all(d.role is Role.CONSEQUENCE for d in judged.diagnoses[1:])


def slow_at(host, size, rate, *, into=False):
    """The directions from (or to) a host at `rate` megabits."""
    return {((a, host) if into else (host, a)): rate * MEGABIT for a in range(size) if a != host}


@pytest.mark.parametrize("into", [False, True])
def test_a_host_far_slower_than_the_others_is_named(into):
    found = link_slow.match(measured(rates=slow_at(2, 3, 10, into=into)))
    assert (found.ranks, found.hosts) == ((2,), ("h2",))
    assert found.symptom is Symptom.PERF_LOW_EFFICIENCY
    assert "10 Mbit/s" in found.title


def test_a_link_far_slower_than_the_others_names_its_ends():
    rates = {(1, 3): 10 * MEGABIT, (3, 1): 10 * MEGABIT}
    assert link_slow.match(measured(4, rates=rates)).ranks == (1, 3)


@pytest.mark.parametrize(
    "case",
    [
        measured(2, rates={(0, 1): 10 * MEGABIT}),
        measured(3, usual=10 * MEGABIT),
        measured(3, rates=slow_at(2, 3, 90), usual=500 * MEGABIT),
        measured(3, rates=slow_at(2, 3, 200)),
        measured(4, rates={**slow_at(2, 4, 10), **slow_at(0, 4, 10), **slow_at(1, 4, 10)}),
        measured(3, usual=0.0, rates={(0, 1): 10 * MEGABIT}),
    ],
    ids=["two hosts", "all slow", "less than eight times", "fast enough", "most are slow", "nothing to compare with"],
)
def test_what_is_not_called_slow(case):
    assert link_slow.match(case) is None


# --- carriers ---------------------------------------------------------------------------------------------------------


def carriers(before, after, *, ended=Ended.FINISHED, **more):
    ranks = tuple(rank(n, size=2, carrier_changes={"eth0": after[n], "eth7": 99}, **{**DONE, **more}) for n in (0, 1))
    return world(*ranks, ended=ended, hosts=tuple(facts(n, carrier_changes=before[n]) for n in (0, 1)))


def test_a_carrier_that_went_while_the_world_ran_is_named():
    found = link_flapping.match(carriers((2, 2), (2, 4)))
    assert found.ranks == (1,)
    assert "eth0" in found.title
    assert found.symptom is Symptom.PERF_LOW_EFFICIENCY
    assert found.against
    stuck = carriers((2, 2), (2, 3), ended=Ended.STALLED, last=Phase.VERIFY, status=PhaseStatus.RUNNING)
    found = link_flapping.match(stuck)
    assert found.symptom is Symptom.PERF_HANG
    assert not found.against


@pytest.mark.parametrize(
    "case",
    [carriers((7, 7), (7, 7)), carriers((None, None), (2, 4)), carriers((2, 2), (0, 0))],
    ids=["it went before", "not read before", "not read after"],
)
def test_what_is_not_called_flapping(case):
    assert link_flapping.match(case) is None


def test_an_interface_that_nobody_uses_may_flap():
    case = carriers((2, 2), (2, 4), published=())
    assert link_flapping.match(case) is None


# --- luck -------------------------------------------------------------------------------------------------------------


def test_a_world_that_came_through_by_luck_is_told_so():
    odd = Outcome.OTHER  # no other rule makes anything of it
    ranks = full({(0, 1): odd}, size=2, **DONE)
    judged = match.judge(world(*ranks, ended=Ended.FINISHED))
    assert [d.cause for d in judged.diagnoses] == ["address-order-dependent"]
    assert judged.diagnoses[0].ranks == (1,)
    blocked = match.judge(world(*full({(0, 1): SILENT}, size=2, **DONE), ended=Ended.FINISHED))
    assert blocked.diagnoses[0].cause == "one-way-blocked"
    assert {d.cause: d.role for d in blocked.diagnoses}["address-order-dependent"] is Role.CONSEQUENCE


def test_what_is_no_luck():
    assert address_order_dependent.match(world(*full({}, size=2, **DONE), ended=Ended.FINISHED)) is None
    failed = world(*full({(0, 1): SILENT}, size=2, last=Phase.GROUP), ended=Ended.FAILED)
    assert address_order_dependent.match(failed) is None


# --- a store that is given up by all ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "blamed"), [(2.0, (1,)), (1.1, None)], ids=["came later", "came in time"])
def test_who_came_to_the_store_when_the_first_had_left_was_late(seconds, blamed):
    def gave_up(number, begin, seconds):
        error = RankError(phase=Phase.STORE, kind="DistStoreError", message="Timed out after 1 seconds waiting")
        record = PhaseRecord(phase=Phase.STORE, status=PhaseStatus.FAILED, begin=begin, seconds=seconds)
        return rank(number, size=2, tries=(), published=(), phases=(record,), error=error, exit=Exit(code=1))

    case = Case(
        origin=Origin.WORLD,
        world=World(size=2, backend="gloo", store_seconds=0.4),
        ranks=(gave_up(0, 0.1, 1.0), gave_up(1, 0.1, seconds)),
        ended=Ended.FAILED,
    )
    found = store_timeout_too_short.match(case)
    assert (found and found.ranks) == blamed


# --- behind a NAT -----------------------------------------------------------------------------------------------------

STORE = {"MASTER_PORT": "29500"}


def connection(local, port, remote, remote_port):
    return Socket(
        family="ipv4", protocol="tcp", local_address=local, local_port=port, remote_address=remote,
        remote_port=remote_port, state="ESTAB",
    )  # fmt: skip


def natted(outcome, *, inside="192.168.200.11", outside="10.77.0.1"):
    """Rank 1 of two hosts offers `inside`; the store's host sees it come from `outside`."""
    store = connection(inside, 41000, address(0), 29500)
    there = connection(address(0), 29500, outside, 41000 if outside == inside else 61000)
    h1 = replace(
        facts(1),
        interfaces=(
            Interface(
                name="eth0", up=True, carrier=True, loopback=False, mtu=1500,
                addresses=(Address(family="ipv4", address=inside, prefix=24),),
            ),
        ),
    )  # fmt: skip
    silent = Probe(kind="data", target=inside, port=40001, outcome=outcome, peer_rank=1)
    ranks = (
        rank(0, silent, size=2, environment=STORE, sockets=(there,)),
        rank(
            1, data(0), bulk(0), size=2, environment=STORE, sockets=(store,),
            published=(Published(rank=1, address=inside, port=40001),),
        ),
    )  # fmt: skip
    return world(*ranks, hosts=(facts(0), h1))


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, SILENT, Outcome.REFUSED])
def test_a_host_behind_an_address_translation_is_named(outcome):
    judged = match.judge(natted(outcome))
    found = judged.diagnoses[0]
    assert (found.cause, found.ranks) == ("interface-unroutable", (1,))
    assert found.confidence >= match.DECIDED
    assert any("come from 10.77.0.1" in e.text for e in found.evidence)
    assert any("private" in t for t in (found.title,))
    assert all(d.role is Role.CONSEQUENCE for d in judged.diagnoses[1:])


def test_a_firewall_before_a_private_address_is_no_address_translation():
    """The store sees the rank under its own address: the network between is a plain one, and something blocks."""
    judged = match.judge(natted(SILENT, outside="192.168.200.11"))
    assert interface_unroutable.match(natted(SILENT, outside="192.168.200.11")) is None
    assert "one-way-blocked" in {d.cause for d in judged.diagnoses}


def test_a_public_address_is_not_behind_one():
    assert interface_unroutable.match(natted(Outcome.UNREACHABLE, inside="8.8.4.4")) is None


def test_a_link_that_came_back_does_not_end_the_watch():
    """The world may yet come through; one whose link stays away will not."""
    waiting = {"ended": Ended.STALLED, "last": Phase.VERIFY, "status": PhaseStatus.RUNNING}
    assert link_flapping.match(carriers((2, 2), (2, 4), **waiting)).confidence < match.DECIDED
    assert link_flapping.match(carriers((2, 2), (2, 3), **waiting)).confidence >= match.DECIDED


# --- neighbours ---------------------------------------------------------------------------------------------------


def asking(number, *, unanswered, target=None, outcome=SILENT):
    """A rank at the store whose own attempt there got no answer."""
    probe = Probe(kind="master", target=target or address(0), port=29500, outcome=outcome, unanswered=unanswered)
    return rank(number, probe, last=Phase.STORE, published=(), tries=())


def test_a_host_that_answers_no_arp_is_the_one_to_blame():
    case = world(rank(0, last=Phase.STORE, published=()), asking(1, unanswered=True), asking(2, unanswered=True))
    found = neighbour_silent.match(case)
    assert found is not None
    assert found.ranks == (0,)
    assert match.judge(case).diagnoses[0].cause == "neighbour-silent"


def test_a_host_that_others_reach_is_not_called_silent():
    came = rank(2, last=Phase.PROBE, published=(), tries=())
    case = world(rank(0, last=Phase.STORE, published=()), asking(1, unanswered=True), came)
    found = neighbour_silent.match(case)
    assert found is not None
    assert found.confidence < match.DECIDED


def test_silence_of_a_host_that_answers_arp_and_of_an_address_that_is_nobody_s_are_other_things():
    assert neighbour_silent.match(world(rank(0, last=Phase.STORE), asking(1, unanswered=False))) is None
    assert (
        neighbour_silent.match(world(rank(0, last=Phase.STORE), asking(1, unanswered=True, target="10.77.0.99")))
        is None
    )


def test_one_hardware_address_on_two_hosts_of_a_network_is_told():
    same, other = "02:00:00:00:00:01", "02:00:00:00:00:02"
    ranks = full({})
    twice = world(*ranks, hosts=(facts(0, mac=same), facts(1, mac=other), facts(2, mac=same)))
    found = duplicate_address.match(twice)
    assert found is not None
    assert found.ranks == (0, 2)
    assert duplicate_address.match(world(*ranks, hosts=(facts(0, mac=same), facts(1, mac=other), facts(2)))) is None
    assert duplicate_address.match(world(*ranks)) is None


# --- one kind of failure in both directions of one pair, and in one of another ------------------------------------


def test_one_way_failures_of_the_same_kind_show_which_end_it_is():
    ranks = full({(0, 1): SILENT, (2, 1): SILENT, (1, 2): Outcome.REFUSED, (0, 2): Outcome.REFUSED})
    found = data_ports_dropped.match(world(*ranks))
    assert found is not None
    assert found.ranks == (1,)


# --- ways out and ways back -----------------------------------------------------------------------------------------


def test_who_lets_nothing_out_is_told_from_those_who_let_each_other_in():
    found = one_way_blocked.match(world(*full({(1, 0): SILENT, (1, 2): SILENT}, last=Phase.GROUP)))
    assert found.ranks == (1,)
    assert "from rank 1" in found.title
    closed = one_way_blocked.match(world(*full({(0, 1): SILENT, (2, 1): SILENT}, last=Phase.GROUP)))
    assert closed.ranks == (1,)
    assert "to rank 1" in closed.title
    pair = one_way_blocked.match(world(*full({(1, 0): SILENT}, size=2, last=Phase.GROUP)))
    assert pair.ranks == (0,)


def test_silence_of_one_that_has_no_way_back_is_no_firewall():
    lost = {(1, 2): SILENT, (2, 1): Outcome.UNREACHABLE}
    judged = match.judge(world(*full(lost, last=Phase.GROUP)))
    assert [(d.cause, d.ranks) for d in judged.diagnoses if d.role is Role.ROOT] == [("route-missing", (2,))]


def test_a_router_that_is_not_there_is_a_wrong_route_and_no_silent_host():
    waiting = asking(1, unanswered=True)
    probe = replace(waiting.probes[0], router="10.77.0.99")
    judged = match.judge(
        world(rank(0, last=Phase.STORE, published=()), replace(waiting, probes=(probe,)), size_of_two())
    )
    lead = judged.diagnoses[0]
    assert (lead.cause, lead.ranks) == ("route-missing", (1,))
    assert "10.77.0.99" in lead.title


def size_of_two():
    """A third rank, which has come to the store."""
    return rank(2, last=Phase.PROBE, published=())


def test_who_cannot_answer_is_told_from_a_firewall():
    waiting = asking(2, unanswered=False)
    zero = rank(0, last=Phase.STORE, published=())
    back = Probe(kind="back", target=address(2), port=29500, outcome=Outcome.UNREACHABLE, peer_rank=2, errno="EACCES")
    judged = match.judge(world(replace(zero, probes=(back,)), rank(1, published=()), waiting))
    lead = judged.diagnoses[0]
    assert (lead.cause, lead.ranks, lead.role) == ("route-missing", (0,), Role.ROOT)
    fine = replace(back, outcome=OK)
    judged = match.judge(world(replace(zero, probes=(fine,)), rank(1, published=()), waiting))
    assert judged.diagnoses[0].cause == "port-dropped"


def test_a_network_that_went_away_among_the_collectives_is_no_failure_of_the_setup():
    ranks = full({(0, 1): SILENT, (1, 0): SILENT}, size=2, last=Phase.VERIFY)
    assert data_ports_dropped.match(world(*ranks)).symptom is Symptom.SETUP_HANG_TIMEOUT
    lost = Socket(
        family="ipv4", protocol="tcp", local_address=address(0), local_port=40000, remote_address=address(1),
        remote_port=50000, state="ESTAB", send_queue=100, retransmits=2,
    )  # fmt: skip
    stuck = (replace(ranks[0], sockets=(lost,)), ranks[1])
    assert data_ports_dropped.match(world(*stuck)).symptom is Symptom.PERF_HANG


def test_networks_that_reach_each_other_are_no_cause_of_what_fails_between_others():
    apart = tuple(
        replace(
            facts(n),
            interfaces=(
                Interface(
                    name="eth0", up=True, carrier=True, loopback=False, mtu=1500,
                    addresses=(Address(family="ipv4", address=address(n), prefix=32),),
                ),
            ),
        )
        for n in range(3)
    )  # fmt: skip
    pair = world(*full({(1, 2): SILENT, (2, 1): SILENT}, last=Phase.GROUP), hosts=apart)
    assert interface_differs_between_ranks.match(pair).confidence < match.FLAGGED
    assert match.judge(pair).diagnoses[0].cause == "data-ports-dropped"
    alone = world(*full({(0, 2): SILENT, (1, 2): SILENT}, last=Phase.GROUP), hosts=apart)
    found = interface_differs_between_ranks.match(alone)
    assert found.ranks == (2,)
    assert found.confidence > match.DECIDED


@pytest.mark.parametrize(
    ("how", "lead"),
    [
        (f"No route to host, {SENT_BACK}", "port-refused"),
        ("Connection refused", "port-dropped"),
    ],
)
def test_a_firewall_that_does_not_always_say_that_it_rejects_is_one(how, lead):
    """The kernel sends such an answer once a second to each; a refusal by TCP is never left out."""
    tried = {1: (Outcome.REFUSED, how), 2: (SILENT, "no answer within 1.3 s")}
    listens = Socket(
        state="LISTEN",
        local_address="0.0.0.0",
        local_port=29500,
        family="ipv4",
        protocol="tcp",
        remote_address="0.0.0.0",
        remote_port=0,
    )
    told = {"MASTER_ADDR": address(0), "MASTER_PORT": "29500", "WORLD_SIZE": "3"}

    def waits(n, *probes, **more):
        return rank(n, *probes, last=Phase.STORE, environment={**told, "RANK": str(n)}, **more)

    ranks = [
        waits(n, Probe(kind="master", target=address(0), port=29500, outcome=outcome, detail=detail))
        for n, (outcome, detail) in tried.items()
    ]
    zero = waits(0, sockets=(listens,))
    judged = match.judge(world(zero, *ranks))
    assert {d.cause for d in judged.diagnoses} >= {"port-refused", "port-dropped"}
    assert judged.diagnoses[0].cause == lead
    dropped = next(d for d in judged.diagnoses if d.cause == "port-dropped")
    assert dropped.role is (Role.CONSEQUENCE if lead == "port-refused" else Role.ROOT)
