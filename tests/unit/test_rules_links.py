"""The rules about links: whom they blame, and that they hold back while what would move the blame is still under way."""

import pytest

from commcheck.diagnose import linking, match
from commcheck.diagnose.rules.links import data_ports_dropped, mtu_mismatch, one_way_blocked, partition
from commcheck.model.case import (
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
    World,
)
from commcheck.model.phase import PHASES, Phase, PhaseStatus

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
