"""What NCCL prints with NCCL_DEBUG=INFO, in the words of its releases, is read back as the world that it was printed from."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose.build import report
from commcheck.diagnose.ingest import nccl_reading
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge
from commcheck.diagnose.nccl_sides import account
from commcheck.model.case import Case, LogLine, Origin, RankRecord, World
from commcheck.model.diagnosis import Diagnosis, Verdict


class Release(NamedTuple):
    """Formats of github.com/NVIDIA/nccl, src/init.cc, src/transport/{net,p2p,shm}.cc, src/graph/connect.cc, by tag."""

    version: str
    start: str
    complete: str
    link: str
    shm: str
    bootstrap: str = "Bootstrap : Using {bootstrap}:10.0.0.{n}<0>"


_2_18 = "comm 0x55d0 rank {rank} nranks {size} cudaDev {device} nvmlDev {device} busId {bus:x} commId 0x49bbd7790311d5eb - Init "
RELEASES = [
    Release("2.10.3+cuda11.4", "", "comm 0x7fdf08000d00 rank {rank} nranks {size} cudaDev {device} busId {bus:x} - Init COMPLETE",
            "Channel {channel:02d} : {a}[1a000] -> {b}[1b000]{way} via {via}", "direct shared memory"),
    Release("2.14.3+cuda11.7", "", "comm 0x7fdf08000d00 rank {rank} nranks {size} cudaDev {device} busId {bus:x} - Init COMPLETE",
            "Channel {channel:02d}/0 : {a}[1a000] -> {b}[1b000]{way} via {via}", "SHM/direct/direct"),
    Release("2.18.6+cuda12.2", _2_18 + "START", _2_18 + "COMPLETE",
            "Channel {channel:02d}/0 : {a}[0] -> {b}[1]{way} via {via}", "SHM/direct/direct"),
    Release("2.23.4+cuda12.6", "ncclCommInitRank " + _2_18 + "START", "ncclCommInitRankConfig " + _2_18 + "COMPLETE",
            "Channel {channel:02d}/0 : {a}[0] -> {b}[1]{way} via {via}", "SHM/CE/direct", "Bootstrap: Using {bootstrap}:10.0.0.{n}<0>"),
    Release("2.30.7+cuda13.0", "[Rank {rank}] ncclCommInitRankConfig " + _2_18 + "START", "ncclCommInitRankConfig " + _2_18 + "COMPLETE",
            "Channel {channel:02d}/0 : {a}[0] -> {b}[1]{way} via {via}", "SHM/direct", "Bootstrap: Using {bootstrap}:10.0.0.{n}<0>"),
]  # fmt: skip


def _lines(texts: list[str]) -> list[LogLine]:
    return [LogLine(source="job.log", number=n, text=text) for n, text in enumerate(texts, 1)]


@pytest.mark.parametrize("release", RELEASES, ids=lambda r: r.version)
@given(data=st.data())
def test_a_world_is_read_back(release: Release, data: st.DataObject) -> None:
    hosts, per_host = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    size = hosts * per_host
    order = data.draw(st.permutations(range(size)))
    network = data.draw(st.sampled_from(["IB", "Socket", "AWS Libfabric"]))
    direct = data.draw(st.sampled_from(["", "/GDRDMA"])) if network != "Socket" else ""
    texts = [f"NCCL version {release.version}"]
    expected = {}
    for rank in order:
        host = f"node-{rank // per_host}"
        head = f"{host}:{1000 + rank}:{2000 + rank} [{rank % per_host}] NCCL INFO "
        values = {
            "rank": rank,
            "size": size,
            "device": rank % per_host,
            "bus": 0x1A000 + 0x1000 * (rank % per_host),
            "n": rank + 1,
        }
        texts.append(head + release.bootstrap.format(bootstrap="eno1", **values))
        if network == "IB":
            texts.append(head + "NET/IB : Using [0]mlx5_0:1/IB [1]mlx5_1:1/RoCE [RO]; OOB eno1:10.0.0.1<0>")
        texts.append(head + f"Using network {network}")
        if release.start:
            texts.append(head + release.start.format(**values))
        for channel in range(2):
            peer = (rank + 1) % size
            if peer == rank:
                continue
            near = peer // per_host == rank // per_host
            via = (
                data.draw(st.sampled_from(["P2P/IPC/read", "P2P/direct pointer", release.shm]))
                if near
                else f"NET/{network}/0{direct}"
            )
            way = "" if near else " [send]"
            texts.append(head + release.link.format(channel=channel, a=rank, b=peer, way=way, via=via))
            expected[channel, rank, peer] = "P2P" if via.startswith("P2P") else "SHM" if near else f"NET/{network}"
        texts.append(head + release.complete.format(**values))
    nccl = nccl_reading.read(_lines(texts))
    assert nccl.versions == (release.version.partition("+")[0],)
    (communicator,) = nccl.communicators
    assert communicator.sizes == {size}
    assert [(m.rank, m.host, m.pid, m.device, m.complete) for m in communicator.members] == [
        (r, f"node-{r // per_host}", 1000 + r, r % per_host, True) for r in range(size)
    ]
    assert {(c.channel, c.source, c.target): c.transport for c in nccl.connections} == expected
    assert {p.network for p in nccl.processes} == {network}
    assert {p.bootstrap for p in nccl.processes} == {f"eno1:10.0.0.{r + 1}" for r in range(size)}
    assert {p.cards for p in nccl.processes} == {("mlx5_0:1/IB", "mlx5_1:1/RoCE") if network == "IB" else ()}
    judgement = judge(case_from_text([("job.log", ("\n".join(texts) + "\n").encode())]))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert all(d.confidence < 0.5 for d in judgement.diagnoses)


# Lines as users posted them: NVIDIA/nccl issues 1412, 1038, 629, nccl-tests issue 188, shortened.
POSTED = """\
swat1-04:2017630:2017671 [2] NCCL INFO ncclCommInitRank comm 0x8ec0ac0 rank 6 nranks 16 cudaDev 6 nvmlDev 6 busId c8000 commId 0x49bbd7790311d5eb - Init COMPLETE
swat1-04:2017630:2017671 [2] NCCL INFO Init timings: rank 6 nranks 16 total 1.08 (kernels 0.51, bootstrap 0.22, allgathers 0.01, topo 0.28, graphs 0.04, connections 0.02, rest 0.01)
host-2:38610:38610 [0] NCCL INFO NCCL_SOCKET_IFNAME set by environment to enp179s0f0
host-2:38610:38610 [0] NCCL INFO Bootstrap : Using enp179s0f0:198.18.2.2<0>
host-2:38610:38610 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/RoCE [RO]; OOB enp179s0f0:198.18.2.2<0>
host-2:38610:38610 [0] NCCL INFO Using network IB
user:169125:169181 [0] NCCL INFO Channel 01/0 : 8[27000] -> 15[ca000] via P2P/IPC/read
user:852752:852806 [2] NCCL INFO Channel 01/0 : 10[51000] -> 2[51000] [receive] via NET/Socket/0
A03-R28-I49-3-9000018:193027:193119 [7] NCCL INFO comm 0x7fdf08000d00 rank 15 nranks 16 cudaDev 7 busId e7000 - Init COMPLETE
"""


def test_lines_that_users_posted() -> None:
    nccl = nccl_reading.read(_lines(POSTED.splitlines()))
    by_identity = {c.identity: c.members for c in nccl.communicators}
    (timed,) = by_identity["0x49bbd7790311d5eb"]
    assert (timed.rank, timed.seconds, timed.bus) == (6, 1.08, "c8000")
    assert by_identity["of 16"][0].host == "A03-R28-I49-3-9000018"
    (process,) = nccl.processes
    assert (process.cards, process.network, process.set) == (
        ("mlx5_0:1/RoCE",),
        "IB",
        {"NCCL_SOCKET_IFNAME": "enp179s0f0"},
    )
    assert {c.via for c in nccl.connections} == {"P2P/IPC/read", "NET/Socket/0"}


# As logs of two releases have it, with AWS's plug-in, and with sixteen ranks over InfiniBand (public logs, shortened).
MORE = """\
dml-1:7614:7691 [0] NCCL INFO NET/Plugin: Loaded net plugin AWS Libfabric (v6)
dml-1:7614:7691 [0] NCCL INFO NET/OFI Selected Provider is efa (found 1 nics)
dml-1:7614:7691 [0] NCCL INFO Using network AWS Libfabric
aihub0008:207012:207012 [5] NCCL INFO Channel 05/0 : 6[6] -> 13[5] [receive] via NET/IB/5/GDRDMA
aihub0008:207007:207007 [0] NCCL INFO Channel 00/0 : 8[0] -> 15[7] via P2P/IPC
vae-0:10208:10234 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM
slinky-0:34636:47955 [3] NCCL INFO ncclCommInitRankConfig comm 0x7f78681f5a60 rank 3 nranks 6 cudaDev 3 nvmlDev 4 busId 11b000 commId 0x2ce24690783c1bda - Init COMPLETE
slinky-0:34636:47955 [3] NCCL INFO Init timings - ncclCommInitRankConfig: rank 3 nranks 6 total 2.72 (kernels 1.40, alloc 0.50, bootstrap 0.00, allgathers 0.01, topo 0.11, graphs 0.01, connections 0.66, rest 0.03)
[1,0]<stdout>:NCCL version 2.12.7+cuda11.4
"""


def test_lines_of_other_logs() -> None:
    nccl = nccl_reading.read(_lines(MORE.splitlines()))
    (aws,) = nccl.processes
    assert (aws.plugin, aws.network) == ("AWS Libfabric", "AWS Libfabric")
    assert {(c.source, c.target): c.via for c in nccl.connections} == {
        (6, 13): "NET/IB/5/GDRDMA",
        (8, 15): "P2P/IPC",
        (0, 1): "P2P/CUMEM",
    }
    assert nccl.communicators[0].members[0].seconds == 2.72
    assert nccl.versions == ("2.12.7",)
    assert not judge(case_from_text([("job.log", MORE.encode())])).diagnoses


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NCCL INFO GPU Direct RDMA Disabled for GPU 7000 / HCA 0 (distance 5 > 4)", "0: distance 5 > 4"),
        ("NCCL INFO GPU Direct RDMA Disabled for GPU 3 / HCA 1 (distance 9 > 4)", "1: distance 9 > 4"),
        ("NCCL INFO NET/IB : GPU Direct RDMA Disabled for HCA 5 'mlx5_5' (no module)", "mlx5_5: no module"),
        ("NCCL INFO NET/IB : GPU Direct RDMA Disabled for HCA 5 'mlx5_5'", "mlx5_5"),
        ("12.5 ncclTopoCheckGdr:532 NCCL TRACE GPU Direct RDMA Disabled for GPU/0-7000 (rank 0) - NET/0-1 (distance 9 > 5)", "distance 9 > 5"),
    ],
)  # fmt: skip
def test_why_cards_do_not_reach_the_gpus(text: str, reason: str) -> None:
    (process,) = nccl_reading.read(_lines([f"a:1:2 [0] {text}"])).processes
    assert process.direct_off == (reason,)


def test_rings_and_trees() -> None:
    head = "a:1:2 [0] NCCL INFO "
    lines = [
        LogLine(source="x", number=1, rank=0, text=head + "Channel 00/02 :    0   1   2   3"),
        LogLine(source="x", number=2, rank=0, text=head + "Trees [0] 1/-1/-1->0->-1 [1] 1/-1/-1->0->-1"),
    ]
    nccl = nccl_reading.read(lines)
    assert nccl.rings == {0: (0, 1, 2, 3)}
    assert nccl.trees == {0: "[0] 1/-1/-1->0->-1 [1] 1/-1/-1->0->-1"}


@given(
    st.text(max_size=300),
    st.sampled_from(["", "a:1:2 [0] NCCL INFO ", "a:1:2 [0] NCCL INFO Channel ", "a:1:2 [0] NCCL INFO comm 0x1 rank "]),
)
def test_reading_never_fails(text: str, head: str) -> None:
    nccl_reading.read(_lines([head + text]))
    account(_lines([head + text]))


# --- what ranks say side by side -------------------------------------------------------------------------------


def _init(host: str, pid: int, rank: int, size: int, what: str = "START") -> str:
    return (
        f"{host}:{pid}:{pid} [0] NCCL INFO comm 0x55d0 rank {rank} nranks {size} cudaDev {rank} nvmlDev {rank} busId {rank + 1}000 "
        f"commId 0xbd10cc2bcb56e132 - Init {what}"
    )


def _best(texts: list[str]) -> Diagnosis:
    return judge(case_from_text([("job.log", ("\n".join(texts) + "\n").encode())])).diagnoses[0]


def test_ranks_that_were_told_other_sizes() -> None:
    best = _best([_init("a", 1, 0, 4), _init("a", 2, 1, 4), _init("b", 3, 2, 3)])
    assert (best.cause, best.confidence >= 0.7) == ("world-size-mismatch", True)


def test_a_rank_that_two_processes_claim() -> None:
    best = _best([_init("a", 1, 0, 4), _init("a", 2, 1, 4), _init("b", 3, 1, 4), _init("b", 4, 3, 4)])
    assert (best.cause, best.ranks) == ("rank-duplicate", (1,))


def test_ranks_of_whom_nothing_is_heard_are_a_hint_alone() -> None:
    texts = [_init("a", 1, 0, 4), _init("a", 2, 1, 4), _init("b", 4, 3, 4)]
    best = _best(texts)
    assert (best.cause, best.ranks) == ("rank-missing", (2,))
    assert best.confidence < 0.5
    assert not judge(
        case_from_text([("x", ("\n".join([*texts, _init("a", 1, 0, 4, "COMPLETE")]) + "\n").encode())])
    ).diagnoses


_CARDS = "NET/IB : Using [0]mlx5_0:1/IB [RO]; OOB eno1:10.0.0.1<0>"


def test_hosts_of_which_one_has_no_cards() -> None:
    best = _best([
        f"a:1:1 [0] NCCL INFO {_CARDS}",
        "a:1:1 [0] NCCL INFO Using network IB",
        "b:2:2 [0] NCCL INFO NET/IB : No device found.",
        "b:2:2 [0] NCCL INFO NET/Socket : Using [0]eno1:10.0.0.2<0>",
        "b:2:2 [0] NCCL INFO Using network Socket",
    ])  # fmt: skip
    assert best.cause == "transport-fallback"
    assert best.confidence >= 0.6
    assert any("b:2:2" in e.text for e in best.evidence)


def test_cards_that_are_there_and_not_used() -> None:
    best = _best([
        f"a:1:1 [0] NCCL INFO {_CARDS}",
        "a:1:1 [0] NCCL INFO Channel 00/0 : 0[0] -> 8[0] [send] via NET/Socket/0",
    ])  # fmt: skip
    assert best.cause == "transport-fallback"
    assert best.confidence >= 0.6


@pytest.mark.parametrize(
    "line",
    [
        "NET/IB : GPU Direct RDMA Disabled for HCA 0 'mlx5_0' (no module)",
        "GPU Direct RDMA Disabled for GPU 7000 / HCA 0 (distance 5 > 3)",
    ],
)
def test_cards_that_do_not_reach_the_gpus_are_shown_and_no_fault(line: str) -> None:
    judgement = judge(case_from_text([("j", f"a:1:1 [0] NCCL INFO {_CARDS}\na:1:1 [0] NCCL INFO {line}\n".encode())]))
    assert judgement.diagnoses[0].cause == "transport-fallback"
    assert judgement.diagnoses[0].confidence < 0.5
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_sockets_alone_are_no_fault() -> None:
    texts = [f"{h}:1:1 [0] NCCL INFO {t}" for h in "ab" for t in ("NET/IB : No device found.", "Using network Socket")]
    judgement = judge(case_from_text([("j", ("\n".join(texts) + "\n").encode())]))
    assert all(d.confidence < 0.5 for d in judgement.diagnoses)


def test_the_account_in_words() -> None:
    lines = _lines([_init("a", 1, 0, 2), _init("b", 2, 1, 2), _init("a", 1, 0, 2, "COMPLETE"), f"a:1:1 [0] NCCL INFO {_CARDS}",
                    "a:1:1 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[0] [send] via NET/IB/0/GDRDMA"])  # fmt: skip
    first, second = account(lines)
    assert "of 2 ranks; said by ranks 0, 1 on 2 hosts, ready: 0" in first
    assert "cards mlx5_0:1/IB; connected via NET/IB/0/GDRDMA" in second


def test_a_world_whose_ranks_tell_has_the_account_in_its_report() -> None:
    lines = tuple(
        _lines(
            [_init("a", 1, 0, 2), _init("a", 2, 1, 2), "a:1:1 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/IPC"]
        )
    )
    for level, told in (("INFO", True), ("WARN", False)):
        rank = RankRecord(slot=0, rank=0, world_size=2, host="a", environment={"NCCL_DEBUG": level}, output=lines)
        case = Case(origin=Origin.WORLD, world=World(size=2, backend="nccl"), ranks=(rank,))
        notes = report(case, judge(case), command=("commcheck",), seconds=0.1).notes
        assert any("connected via P2P/IPC" in note for note in notes) is told
