"""Report directories: which files are of one run, and which hosts are one."""

import pytest
from msgspec.structs import replace

from commcheck.diagnose.build import report
from commcheck.diagnose.match import judge
from commcheck.model.case import Address, Ended, HostFacts, Interface, RankRecord, World
from commcheck.model.rankreport import RANK_SCHEMA, RankReport
from commcheck.runtime.reports import SILENCE, Writer, current, merged, read_all


def left(rank, begun, ended, *, done=True, identity="", address=""):
    """What a rank left that ran from `begun` to `ended`."""
    addresses = (Address(family="ipv4", address=address, prefix=24),) if address else ()
    interface = Interface(name="eth0", up=True, carrier=True, loopback=False, mtu=1500, addresses=addresses)
    return RankReport(
        schema=RANK_SCHEMA,
        world=World(size=2, backend="gloo"),
        host=HostFacts(host="node", identity=identity, interfaces=(interface,)),
        rank=RankRecord(slot=0, rank=rank, world_size=2, host="node", started="warm", pid=int(begun)),
        done=done,
        ended=Ended.FINISHED,
        seconds=ended - begun,
        begun=begun,
        written=ended,
    )


FIRST = (left(0, 100, 105), left(1, 101, 105), left(2, 100, 104))
SECOND = (left(0, 110, 112), left(1, 113, 115))
THIRD = (left(0, 120, 122), left(1, 121, 123))


@pytest.mark.parametrize(
    ("reports", "kept"),
    [
        (FIRST, FIRST),
        ((*FIRST, *SECOND), SECOND),
        ((*FIRST, *SECOND, *THIRD), THIRD),
        ((*FIRST, *SECOND, THIRD[1]), (THIRD[1],)),
        # A duplicate is there at the same time, also when it came late.
        ((*FIRST, left(0, 104, 109)), (*FIRST, left(0, 104, 109))),
        # A rank of this run that has died at once, before a late one of this run has begun.
        ((*FIRST, left(0, 110, 111), left(1, 115, 120)), (left(0, 110, 111), left(1, 115, 120))),
        # Killed before it could say that it was done: ended all the same, but not from one moment to the next.
        ((left(0, 100, 105, done=False), left(0, 106 + SILENCE, 130)), (left(0, 106 + SILENCE, 130),)),
    ],
)
def test_what_was_started_again_replaces_what_had_ended(reports, kept):
    assert set(map(repr, current(reports))) == set(map(repr, kept))


def test_a_process_without_a_rank_is_nobody_s_predecessor():
    nameless = replace(left(0, 100, 101), rank=RankRecord(slot=0, rank=None, world_size=2, host="node"))
    assert len(current((nameless, left(0, 105, 110), left(1, 105, 110)))) == 3


def test_hosts_of_one_name_are_told_apart_by_their_networks():
    ranks = (
        left(0, 100, 105, identity="k/1", address="10.0.0.1"),
        left(1, 100, 105, identity="k/2", address="10.0.0.2"),
    )
    case = merged(ranks, complete=True)
    assert [r.host for r in case.ranks] == [h.host for h in case.hosts] == ["node(10.0.0.1)", "node(10.0.0.2)"]
    bare = merged((left(0, 1, 2, identity="k/1"), left(1, 1, 2, identity="k/2")), complete=True)
    assert [r.host for r in bare.ranks] == ["node(1)", "node(2)"]


def test_ranks_of_one_network_are_on_one_host():
    case = merged((left(0, 1, 2, identity="k/1"), left(1, 1, 2, identity="k/1")), complete=True)
    assert {r.host for r in case.ranks} == {"node"}


def test_equal_pids_on_two_hosts_are_two_processes():
    ranks = tuple(
        replace(r, rank=replace(r.rank, members=((0, 37), (1, 37))))
        for r in (left(0, 1, 2, identity="k/1"), left(1, 1, 2, identity="k/2"))
    )
    case = merged(ranks, complete=True)
    world = report(case, judge(case), command=(), seconds=0.0).world
    assert world.distinct_processes == 2


def test_any_rank_gives_a_file_in_the_directory(tmp_path):
    writer = Writer(str(tmp_path), "0/../../x")
    writer.write(merged((left(0, 1, 2),), complete=True), done=True)
    assert writer.failed == ""
    assert [p.parent for p in tmp_path.rglob("*")] == [tmp_path]


def test_a_directory_that_cannot_be_written_any_more_costs_no_verdict(tmp_path):
    writer = Writer(str(tmp_path / "gone"), 0)
    (tmp_path / "gone").rmdir()
    writer.write(merged((left(0, 1, 2),), complete=True), done=True)
    assert "No such file or directory" in writer.failed


def test_a_writer_leaves_what_is_read_again(tmp_path):
    case = merged((left(0, 1, 2),), complete=True)
    writer = Writer(str(tmp_path / "new"), 0)
    writer.write(case, done=True)
    (found,), old = read_all(tmp_path / "new")
    assert (found.rank, found.done, old) == (case.ranks[0], True, 0)
    assert found.written >= found.begun
