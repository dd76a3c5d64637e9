"""What other lines of a log speak against: no cards on one host, a launcher that is ended when a rank has failed."""

import pytest

from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge
from commcheck.model.diagnosis import Role, Verdict


def judged(*texts):
    return judge(case_from_text([("job.log", ("\n".join(texts) + "\n").encode())]))


def roots(*texts):
    return [d.cause for d in judged(*texts).diagnoses if d.role is Role.ROOT]


# --- cards ---------------------------------------------------------------------------------------------------------

INIT = "comm 0x7f718c602010 rank {rank} nranks {size} cudaDev {rank} nvmlDev {rank} busId {rank}000 commId 0x9e8b9b506dfc8517 - Init {what}"
NODES = "comm 0x7f718c602010 rank {rank} nRanks {size} nNodes {nodes} localRanks 2 localRank {rank} MNNVL 0"
NO_CARD = ("NET/IB : No device found.", "NET/Socket : Using [0]eth0:10.9.0.1<0>", "Using network Socket")


def world(*, hosts=("trainer-a", "trainer-a"), size=2, nodes=0, more=()):
    return [
        f"{host}:{41 + rank}:{41 + rank} [{rank}] NCCL INFO {text}"
        for rank, host in enumerate(hosts)
        for text in (
            *NO_CARD,
            *more,
            INIT.format(rank=rank, size=size, what="START"),
            *([NODES.format(rank=rank, size=size, nodes=nodes)] if nodes else []),
            INIT.format(rank=rank, size=size, what="COMPLETE"),
        )
    ]


@pytest.mark.parametrize(
    "lines",
    [
        world(),
        world(nodes=1),
        world(hosts=("trainer-a",), nodes=1),
        world(more=("NET/IB : Using [RO]; OOB eth0:10.9.0.1<0>",)),
        world(more=("Channel 00/0 : 0[0] -> 1[1] [send] via NET/Socket/0",)),
    ],
)
def test_no_card_on_one_host_is_no_fault(lines):
    said = judged(*lines, "rank 0 step 1 loss 0.5")
    assert (said.diagnoses, said.verdict) == ((), Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    "lines",
    [
        world(hosts=("trainer-a", "trainer-b")),
        world(hosts=("trainer-a", "trainer-a"), size=4, nodes=2),
        world(more=("NCCL_IB_HCA set by environment to mlx5_0",)),
        world(more=("NCCL_SOCKET_IFNAME set by environment to ib0",)),
    ],
)
def test_no_card_among_several_hosts_or_where_one_is_named_is_told(lines):
    assert "transport-fallback" in {d.cause for d in judged(*lines).diagnoses}


# --- a launcher that is ended ----------------------------------------------------------------------------------------

TIMED_OUT = (
    "[rank0]:[E1122 11:43:02.184758110 ProcessGroupNCCL.cpp:757] [Rank 0] Watchdog caught collective operation timeout:"
    " WorkNCCL(SeqNum=4, OpType=ALLREDUCE, NumelIn=1024, NumelOut=1024, Timeout(ms)=600000) ran for 600088 milliseconds"
    " before timing out."
)
AT_THE_GROUP = "[rank1]: RuntimeError: Distributed package doesn't have NCCL built in"
NO_MEMORY = "[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
EXITED = "E1122 11:43:03.000000 4 torch/distributed/elastic/multiprocessing/api.py:988] failed (exitcode: 3) local_rank: 1 (pid: 7) of binary: /usr/bin/python3"
ENDED = (
    "W1122 11:43:53.671000 4 torch/distributed/elastic/agent/server/api.py:753] Received {0} death signal, shutting down workers",
    "W1122 11:43:53.672000 4 torch/distributed/elastic/multiprocessing/api.py:1014] Sending process 7 closing signal {1}",
    "Traceback (most recent call last):",
    "torch.distributed.elastic.multiprocessing.api.SignalException: Process 4 got signal: {0}",
)
BY_TERM = tuple(line.format(15, "SIGTERM") for line in ENDED)
BY_INT = tuple(line.format(2, "SIGINT") for line in ENDED)
CANCELLED = ("slurmstepd: error: *** JOB 9988 ON trainer-a CANCELLED AT 2031-01-01T11:44:00 ***",)


@pytest.mark.parametrize("ended", [BY_TERM, BY_INT, CANCELLED])
@pytest.mark.parametrize("failed", [TIMED_OUT, AT_THE_GROUP, NO_MEMORY, EXITED], ids=lambda text: text[:40])
def test_a_launcher_that_is_ended_after_a_failure_is_no_cause(failed, ended):
    found = roots(failed, *ended)
    assert found
    assert "rank-killed" not in found


@pytest.mark.parametrize("ended", [BY_TERM, BY_INT, CANCELLED])
@pytest.mark.parametrize(
    "before",
    [
        (),
        ("rank 0 step 1 loss 0.5",),
        ("[rank0]: RuntimeError: [../gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.9.0.2]:4711",),
        ("[rank0]: KeyboardInterrupt",),
    ],
)
def test_a_launcher_that_is_ended_while_nothing_is_wrong_is_told(before, ended):
    assert roots(*before, *ended)[0] == "rank-killed"


def test_what_a_rank_says_only_then_takes_nothing_back():
    assert roots(*BY_TERM, TIMED_OUT)[0] == "rank-killed"


def test_a_rank_that_torchrun_kills_when_it_does_not_end_is_no_cause():
    agent = "torch/distributed/elastic/multiprocessing/api.py"
    forced = f"W1122 11:44:33.000000 4 {agent}:1033] Unable to shutdown process 8 via Signals.SIGTERM, forcefully exiting via Signals.SIGKILL"
    summary = "  rank      : {0} (local_rank: {0})\n  exitcode  : {1} (pid: {2})"
    first = (
        f"E1122 11:44:34.000000 4 {agent}:988] failed (exitcode: -6) local_rank: 0 (pid: 7) of binary: /usr/bin/python3"
    )
    last = (
        summary.format(1, "-9", 8),
        "  traceback : Signal 9 (SIGKILL) received by PID 8",
        summary.format(0, "-6", 7),
    )
    assert not {"rank-killed", "rank-oom-killed"} & set(roots(TIMED_OUT, forced, first, *last))
    assert "rank-killed" in roots(TIMED_OUT, first, *last)


def test_that_others_have_closed_the_rendezvous_is_no_failure_of_the_rank_that_is_ended_then() -> None:
    text = """raise RendezvousClosedError
torch.distributed.elastic.rendezvous.api.RendezvousClosedError
W0409 07:28:49.530000 1359 torch/distributed/elastic/agent/server/api.py:719] Received 15 death signal, shutting down workers
"""
    assert judged(text).diagnoses[0].cause == "rank-killed"
