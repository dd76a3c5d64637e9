"""Report directories: which files are of one run, and which hosts are one."""

import sys

import pytest
from msgspec.structs import replace

from commcheck.diagnose.build import report
from commcheck.diagnose.match import judge
from commcheck.model.case import (
    Address,
    Collective,
    Ended,
    Exit,
    HostFacts,
    Interface,
    Outcome,
    PhaseRecord,
    Probe,
    Published,
    RankError,
    RankRecord,
    ValueCheck,
    World,
)
from commcheck.model.diagnosis import Verdict
from commcheck.model.phase import PHASES, PhaseStatus
from commcheck.model.rankreport import RANK_SCHEMA, RankReport
from commcheck.report.redact import clean
from commcheck.runtime.reports import ROLL_FROM, SILENCE, Writer, current, load_case, merged, read_all, roll_of


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


# --- many ranks ------------------------------------------------------------------------------------------------


def world_of(size, *, killed=None):
    """What the ranks of a world left, each on a host of its own, each having tried its neighbours."""
    members = tuple((rank, 1000 + rank) for rank in range(size))
    phases = tuple(
        PhaseRecord(phase=phase, status=PhaseStatus.OK, begin=float(n), seconds=0.1) for n, phase in enumerate(PHASES)
    )
    made = []
    for rank in range(size):
        address = f"10.64.{rank >> 8}.{rank & 255}"
        near = [peer for peer in (rank - 1, rank + 1) if 0 <= peer < size]
        record = RankRecord(
            slot=0,
            rank=rank,
            world_size=size,
            host=f"n{rank}",
            started="warm",
            pid=1000 + rank,
            environment={
                "MASTER_ADDR": "10.64.0.0",
                "MASTER_PORT": "29500",
                "RANK": str(rank),
                "WORLD_SIZE": str(size),
            },
            backend="gloo",
            phases=phases[:5] if killed is not None else phases,
            exit=Exit(signal=9) if rank == killed else Exit(code=1 if killed is not None else 0),
            error=None
            if killed in (None, rank)
            else RankError(phase=phases[4].phase, kind="RuntimeError", message="Connection closed by peer"),
            published=(Published(rank=rank, address=address, port=4000),),
            tries=tuple(near),
            probes=tuple(
                Probe(kind="data", target=f"10.64.{p >> 8}.{p & 255}", port=4000, outcome=Outcome.OK, peer_rank=p)
                for p in near
            ),
            collectives=(
                Collective(index=0, op="all_reduce", shape=(4,), dtype="float32", reduce_op="sum", done=killed is None),
            ),
            checks=() if killed is not None else (ValueCheck(op="all_reduce", dtype="float32", size=4, ok=True),),
            members=members,
        )
        lo = Interface(name="lo", up=True, carrier=True, loopback=True, mtu=65536)
        own = Address(family="ipv4", address=address, prefix=10)
        eth = Interface(
            name="eth0", up=True, carrier=True, loopback=False, mtu=1500, mac=f"02:{rank}", addresses=(own,)
        )
        made.append(
            RankReport(
                schema=RANK_SCHEMA,
                world=World(size=size, backend="gloo", master_addr="10.64.0.0", master_port=29500),
                host=HostFacts(host=f"n{rank}", hostname=f"n{rank}", identity=f"i{rank}", interfaces=(lo, eth)),
                rank=record,
                done=True,
                ended=Ended.FINISHED if killed is None else Ended.FAILED,
                seconds=5.0,
                begun=100.0,
                written=105.0,
            )
        )
    return tuple(made)


def steps(size, killed):
    """How many lines of ours run, at most a loop's worth each, to judge and report on so many ranks."""
    reports = world_of(size, killed=killed)
    count = 0

    def line(frame, event, argument):
        nonlocal count
        count += event == "line"
        return line

    def call(frame, event, argument):
        return line if "commcheck" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        case = merged(reports, complete=True)
        clean(report(case, judge(case), command=("commcheck",), seconds=0.1))
    finally:
        sys.settrace(before)
    return count


@pytest.mark.skipif(sys.gettrace() is not None, reason="something else traces this process")
@pytest.mark.parametrize("killed", [None, 2])
def test_work_grows_as_the_ranks_do(killed):
    steps(8, killed)  # rules are imported
    few, many = steps(128, killed), steps(512, killed)
    assert many < 4.4 * few, (few, many)


def test_a_large_world_s_members_are_listed_by_rank_zero_alone(tmp_path):
    reports = world_of(ROLL_FROM)
    for one in reports:
        writer = Writer(str(tmp_path), one.rank.rank)
        writer.write(case_of(one), done=True)
    left_there = {p.name: len(p.read_bytes()) for p in tmp_path.glob("rank-*.json")}
    assert max(left_there.values()) > ROLL_FROM * 10 + min(left_there.values())
    found = load_case(tmp_path)
    assert {r.members for r in found.ranks} == {reports[0].rank.members}
    assert judge(found).verdict is Verdict.HEALTHY


def test_without_rank_zero_s_list_nothing_is_proven():
    listed, *others = world_of(ROLL_FROM)
    met = roll_of(listed.rank.members)
    called = [replace(one, rank=replace(one.rank, members=()), roll=met) for one in others]
    other = replace(listed, rank=replace(listed.rank, members=listed.rank.members[:-1]))
    assert judge(merged((listed, *called), complete=True)).verdict is Verdict.HEALTHY
    assert judge(merged((other, *called), complete=True)).verdict is not Verdict.HEALTHY
    assert judge(merged(tuple(called), complete=True)).verdict is not Verdict.HEALTHY


def case_of(one):
    """The case that a rank would write."""
    case = merged((one,), complete=True)
    return replace(case, ranks=(one.rank,))
