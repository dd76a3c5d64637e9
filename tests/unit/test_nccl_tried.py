"""What ranks met at the addresses that NCCL takes of each other, as the rules see it."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.diagnose.match import judge
from commcheck.model.case import (
    Case,
    Ended,
    Exit,
    HostFacts,
    Origin,
    Outcome,
    PhaseRecord,
    Probe,
    RankError,
    RankRecord,
    World,
)
from commcheck.model.nccl import NcclAddress, NcclAnswer, NcclFacts, NcclLibrary
from commcheck.model.phase import Phase, PhaseStatus
from commcheck.probe.nccl_targets import MOST_TARGETS, targets

CAUSE = "nccl-address-unreachable"


def host(number, address=""):
    own = address or f"10.0.0.{number}"
    nccl = NcclFacts(
        library=NcclLibrary(path="/l", found_by="x", version=23203),
        answer=NcclAnswer(interface="eth0", address=own),
        addresses=(NcclAddress(interface="eth0", family="ipv4", address=own, prefix=24),),
    )
    return HostFacts(host=f"h{number}", nccl=nccl)


def rank(number, *unreached, outcome=Outcome.TIMED_OUT, **more):
    probes = tuple(
        Probe(kind="nccl", target=f"10.0.0.{peer}", port=5, outcome=outcome, peer_rank=peer) for peer in unreached
    )
    return RankRecord(
        slot=number, rank=number, world_size=4, host=f"h{number}", backend="nccl", probes=probes, **more
    )  # fmt: skip


def named(ranks, hosts=range(4), ended=Ended.STALLED):
    case = Case(
        origin=Origin.JOINED,
        world=World(size=4, backend="nccl"),
        hosts=tuple(host(n) for n in hosts),
        ranks=tuple(ranks),
        ended=ended,
    )
    return next((d for d in judge(case).diagnoses if d.cause == CAUSE), None)


def test_a_world_that_stands_still_is_blamed_on_the_address_that_was_not_reached() -> None:
    found = named([rank(0), rank(1), rank(2, 0), rank(3)])
    assert (found.confidence, found.ranks, found.hosts) == (0.8, (0,), ("h0",))
    assert [(link.source, link.target, link.port) for link in found.links] == [("h2", "h0", 5)]
    assert named([rank(0), rank(1), rank(2), rank(3, 1)]).confidence == 0.6  # NCCL may not need that way


def test_a_choice_outside_of_the_others_networks_is_surer_than_a_network_that_does_not_carry() -> None:
    """In one network it may be the way between the two, which other rules name."""
    apart = [host(0, "172.17.0.1"), *(host(n) for n in range(1, 4))]
    ranks = [rank(0), rank(1), rank(2, 0), rank(3)]
    case = Case(origin=Origin.JOINED, world=World(size=4, backend="nccl"), hosts=tuple(apart), ranks=tuple(ranks), ended=Ended.STALLED)  # fmt: skip
    (found,) = (d for d in judge(case).diagnoses if d.cause == CAUSE)
    assert found.confidence == 0.9


def test_while_pairs_are_still_tried_it_does_not_end_the_watch() -> None:
    trying = replace(
        rank(1),
        tries=(0, 2),
        phases=(PhaseRecord(phase=Phase.PROBE, status=PhaseStatus.RUNNING, begin=0.0, seconds=1.0),),
    )
    assert named([rank(0), trying, rank(2, 0), rank(3)]).confidence == 0.7


def test_ranks_at_the_store_have_not_come_as_far_as_nccl() -> None:
    waits = replace(
        rank(1), phases=(PhaseRecord(phase=Phase.STORE, status=PhaseStatus.RUNNING, begin=0.0, seconds=1.0),)
    )
    assert named([rank(0), waits, rank(2, 0), rank(3)]).confidence == 0.6


def test_before_the_end_it_does_not_end_the_watch_and_after_a_good_end_it_is_nothing() -> None:
    ranks = [rank(0), rank(1, 0), rank(2), rank(3)]
    assert named(ranks, ended=Ended.NOT_RUN).confidence == 0.7
    assert named(ranks, ended=Ended.FINISHED) is None


def test_a_rank_that_has_died_proves_nothing_about_its_network() -> None:
    assert named([rank(0, 1), rank(1, exit=Exit(code=1)), rank(2), rank(3)]) is None
    early = RankError(phase=Phase.PROBE, kind="X", message="")
    assert named([rank(0, 1), rank(1, error=early), rank(2), rank(3)]) is None


def test_what_was_reached_is_no_fault() -> None:
    assert named([rank(0, 1, outcome=Outcome.OK), rank(1, 0, outcome=Outcome.OK), rank(2), rank(3)]) is None


def test_one_ranks_view_names_the_rank_of_which_it_knows_nothing_else() -> None:
    found = named([rank(2, 0)], hosts=[2])
    assert (found.confidence, found.ranks, found.hosts) == (0.9, (0,), ())
    assert "NCCL on rank 0 takes 10.0.0.0, which h2 cannot reach" in found.title
    assert named([rank(2, 3)], hosts=[2]).confidence == 0.6


@given(st.integers(1, 40), st.data())
def test_each_tries_the_first_and_the_next_ones(size, data) -> None:
    own = data.draw(st.integers(0, size - 1))
    found = targets(range(size), own)
    assert own not in found
    assert len(set(found)) == len(found) == min(size - 1, MOST_TARGETS)
    if size > 1:
        assert (own + 1) % size in found
        assert 0 in found or own == 0
    if size <= MOST_TARGETS + 1:
        assert set(found) == set(range(size)) - {own}
