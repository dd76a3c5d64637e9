"""What is said of a cause that several libraries tell: their own settings, whose process it was, and what can follow."""

import pytest

from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge
from commcheck.model.diagnosis import Role
from commcheck.model.taxonomy import Symptom


def judged(*texts):
    return judge(case_from_text([("job.log", ("\n".join(texts) + "\n").encode())])).diagnoses


AT = "trainer-a:41:41 [0] "
NO_INTERFACE = (
    "[rank0]: torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:93, invalid usage (run with NCCL_DEBUG=WARN for details), NCCL version 2.29.7",
    "[rank0]: ncclInvalidUsage: This usually reflects invalid usage of NCCL library.",
    "[rank0]: Last error:",
    "[rank0]: Bootstrap : no socket interface found",
)


@pytest.mark.parametrize(
    ("texts", "setting", "others"),
    [
        ((AT + "/nccl/src/bootstrap.cc:130 NCCL WARN Bootstrap : no socket interface found",), "NCCL_SOCKET_IFNAME", "GLOO"),
        (NO_INTERFACE, "NCCL_SOCKET_IFNAME", "GLOO"),
        (
            (AT + "NCCL INFO NCCL_SOCKET_IFNAME set by environment to eth9", *NO_INTERFACE),
            "NCCL_SOCKET_IFNAME (eth9 here)",
            "GLOO",
        ),
        ((AT + "NCCL WARN NET/IB : No IP interface found.",), "NCCL_SOCKET_IFNAME", "GLOO"),
        (
            (AT + "NCCL WARN no device found matching =mlx9_9, verify NCCL_OOB_NET_IFNAME",),
            "NCCL_OOB_NET_IFNAME",
            "SOCKET_IFNAME",
        ),
        (("[enforce fail at device.cc:83] ifa != nullptr. Unable to find address for: eno9",), "GLOO_SOCKET_IFNAME", "NCCL"),
        (
            ("Exception: No available network interface found matching user provided interface: {'eno9'}",),
            "--network-interface",
            "SOCKET_IFNAME",
        ),
    ],
)  # fmt: skip
def test_the_setting_of_the_library_that_spoke(texts, setting, others):
    best = judged(*texts)[0]
    assert best.cause == "interface-missing"
    said = " ".join((best.title, *(fix.text for fix in best.fixes)))
    assert setting in said
    assert others not in said


@pytest.mark.parametrize(
    "text",
    [
        "/nccl/src/plugin/net.cc:326 NCCL WARN Failed to initialize any NET plugin",
        "/nccl/src/net.cc:560 NCCL WARN Error: network IBX not found.",
    ],
)
def test_a_network_that_was_demanded(text):
    best = judged(AT + "NCCL INFO NCCL_NET set by environment to IBX", AT + text)[0]
    assert best.cause in {"transport-unavailable", "env-malformed"}
    assert "NCCL_NET (IBX here)" in best.fixes[0].text


def test_a_card_that_fails_is_not_blamed_on_nccl_net():
    found = judged(AT + "NCCL WARN Call to ibv_modify_qp failed with error Connection timed out")[0]
    assert found.cause == "transport-unavailable"
    assert not any("NCCL_NET " in fix.text for fix in found.fixes)


# --- whose process it was --------------------------------------------------------------------------------------------

AGENT = "E1122 11:42:10.464000 4 torch/distributed/elastic/multiprocessing/api.py:988] failed (exitcode: {1}) local_rank: {0} (pid: {2}) of binary: /usr/bin/python3"
SUMMARY = (
    "  host      : node-a\n  rank      : {0} (local_rank: {0})\n  exitcode  : {1} (pid: {2}) \n  error_file: <N/A>"
)
FAILED = "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: "
ORDINAL = (
    'Traceback (most recent call last):\n  File "train.py", line 16, in <module>\n    torch.cuda.set_device(d)\n'
    "torch.AcceleratorError: CUDA error: invalid device ordinal"
)


def ended(*ranks):
    return (
        AGENT.format(*ranks[0]), FAILED, *(SUMMARY.format(*rank) for rank in ranks[1:]), SUMMARY.format(*ranks[0]),
    )  # fmt: skip


def test_an_exit_code_is_the_ranks_that_the_launcher_names():
    best = judged(*ended((1, 3, 77), (0, -15, 76)))[0]
    assert (best.cause, best.ranks) == ("rank-exited", (1,))


def test_a_traceback_without_a_mark_is_the_one_ranks_that_failed():
    best = judged(ORDINAL, *ended((1, 1, 77), (0, -15, 76)))[0]
    assert (best.cause, best.ranks) == ("device-ordinal-out-of-range", (1,))


def test_a_traceback_without_a_mark_is_nobodys_where_two_have_failed():
    best = judged(ORDINAL, *ended((1, 1, 77), (2, 1, 78), (0, -15, 76)))[0]
    assert (best.cause, best.ranks) == ("device-ordinal-out-of-range", ())


def test_a_warning_of_nccl_is_the_ranks_whose_process_it_was():
    text = "node-a:{0}:{0} [0] /nccl/src/bootstrap.cc:130 NCCL WARN Bootstrap : no socket interface found"
    two = ((0, 1, 77), (1, 1, 78), (2, -15, 79))
    assert judged(text.format(78), *ended(*two))[0].ranks == (1,)
    assert judged(text.format(79), *ended(*two))[0].ranks == ()


def test_a_rank_that_waits_for_another_is_not_the_absent_one():
    text = "torch.distributed.DistStoreError: Timed out after 301 seconds waiting for clients. 1/2 clients joined."
    found = {d.cause: d for d in judged(text, *ended((0, 1, 77)))}
    assert found["rank-missing"].ranks != (0,)


WATCHDOG = (
    (
        "[rank{0}]:[E1122 11:52:56.597399937 ProcessGroupNCCL.cpp:757] [Rank {0}] Watchdog caught collective operation timeout:"
        " WorkNCCL(SeqNum=6, OpType=ALLREDUCE, NumelIn=1024, NumelOut=1024, Timeout(ms)=600000) ran for 600004 milliseconds before timing out."
    ),
    (
        "[rank{0}]:[E1122 11:53:00.255835311 ProcessGroupNCCL.cpp:1987] [PG ID 0 PG GUID 0 Rank {0}] Received a dump signal due to"
        " a collective timeout from this local rank and we will try our best to dump the debug info."
    ),
)
HEARD = (
    (
        "[rank{0}]:[E1122 11:53:01.108361612 ProcessGroupNCCL.cpp:1922] [PG ID 0 PG GUID 0 Rank {0}] Observed flight recorder"
        " dump signal from another rank via TCPStore."
    ),
    (
        "[rank{0}]:[E1122 11:53:01.108471038 ProcessGroupNCCL.cpp:1987] [PG ID 0 PG GUID 0 Rank {0}] Received a dump signal due to"
        " a collective timeout from  rank 0 and we will try our best to dump the debug info."
    ),
)


def says(lines, *ranks):
    return [line.format(rank) for rank in ranks for line in lines]


def test_a_rank_whose_own_watchdog_timed_out_is_not_the_missing_one():
    said = judged(*says(WATCHDOG, 2, 0), *says(HEARD, 1), *ended((2, -6, 422), (0, -15, 420), (1, -15, 421)))
    assert (said[0].cause, said[0].ranks) == ("collective-missing-rank", (1,))


def test_nobody_is_missing_where_all_that_were_ended_had_timed_out():
    said = judged(*says(WATCHDOG, 2, 0, 1), *ended((2, -6, 422), (0, -15, 420), (1, -15, 421)))
    assert not any(d.cause == "collective-missing-rank" and d.confidence > 0.5 for d in said)


def test_beside_one_that_failed_by_itself_those_that_were_ended_are_not_missing():
    said = judged(*says(WATCHDOG, 2), *ended((3, 3, 423), (2, -15, 422), (1, -15, 421), (0, -15, 420)))
    assert not any(d.cause == "collective-missing-rank" and set(d.ranks) & {0, 1} for d in said)


# --- a kill, and what follows ----------------------------------------------------------------------------------------


def test_a_kill_without_a_word_of_memory():
    said = judged(*ended((1, -9, 77), (0, -15, 76)), "  traceback : Signal 9 (SIGKILL) received by PID 77")
    kill, memory = said[:2]
    assert [d.cause for d in said[:2]] == ["rank-killed", "rank-oom-killed"]
    assert (kill.symptom, memory.symptom) == (Symptom.TRAIN_OTHER_FAILURE, Symptom.TRAIN_OUT_OF_MEMORY)
    assert not any("memory" in fix.text for fix in kill.fixes)


@pytest.mark.parametrize(
    ("texts", "absent"),
    [
        (NO_INTERFACE, {"device-shared-by-ranks", "process-group-misuse"}),
        (ended((1, -11, 77), (0, -15, 76)), {"version-mismatch"}),
    ],
)
def test_only_what_can_follow_follows(texts, absent):
    assert not absent & {d.cause for d in judged(*texts)}


def test_what_peers_see_of_a_failure_follows():
    said = judged(
        "[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "[rank0]: RuntimeError: [../gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.9.0.2]:4711",
    )
    assert "rank-exited" in {d.cause for d in said if d.role is Role.CONSEQUENCE}
