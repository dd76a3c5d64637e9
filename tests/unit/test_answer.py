"""The answer to a log beside its causes: who failed first, the time-line, what to collect next, whose frequencies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.catalog.fixes import COUNTS
from commcheck.catalog.symptoms import FRAMEWORKS, row
from commcheck.catalog.tallies import BY_FRAMEWORK
from commcheck.diagnose.build import report
from commcheck.diagnose.framework import framework_of
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge
from commcheck.model.diagnosis import Report, Role
from commcheck.report import to_json, to_text

CLOSED = "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.3]:{}"
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"
NCCL = "node-{}:77:99 [0] NCCL INFO comm 0x1 rank {} nranks 4 cudaDev 0"


def answer(*logs: tuple[str, str]) -> Report:
    case = case_from_text([(name, text.encode()) for name, text in logs])
    return report(case, judge(case), command=("commcheck", "diagnose"), seconds=0.0)


def job(*lines: str) -> Report:
    return answer(("job.log", "\n".join(lines)))


# --- first rank and time-line ----------------------------------------------------------------------------------


def test_the_first_failing_rank_and_what_follows() -> None:
    said = job(f"[rank3]: {OOM}", f"[rank0]: {CLOSED.format(1)}", f"[rank1]: {CLOSED.format(2)}")
    assert said.first is not None
    assert (said.first.ranks, said.first.line, said.first.cause) == ((3,), 1, "memory-exhausted")
    assert [(m.ranks, m.role) for m in said.timeline] == [((3,), Role.ROOT), ((0, 1), Role.CONSEQUENCE)]
    assert {d.cause for d in said.diagnoses if d.role is Role.ROOT} == {"memory-exhausted"}
    text = to_text.render(said)
    assert "  first       rank 3: torch.OutOfMemoryError" in text
    assert "job.log:2, follows]" in text


def test_ranks_in_files_of_their_own_are_ordered_by_their_clocks() -> None:
    late, early = f"[rank0]: 2026-01-02 14:02:39,500 {CLOSED.format(1)}", f"[rank3]: 2026-01-02 14:02:09,250 {OOM}"
    said = answer(("rank0.log", late), ("rank3.log", early))
    assert said.first is not None
    assert said.first.ranks == (3,)
    assert [m.source for m in said.timeline] == ["rank3.log", "rank0.log"]
    text = to_text.render(said)
    assert "rank 3: 14:02:09.250 " in text
    assert "14:02:39.500 rank 0" in text


def test_midnight_comes_after_the_evening() -> None:
    said = answer(
        ("rank0.log", f"[rank0]: 2026-01-03 00:00:10 {CLOSED.format(1)}"),
        ("rank3.log", f"[rank3]: 2026-01-02 23:59:50 {OOM}"),
    )
    assert [m.ranks for m in said.timeline] == [(3,), (0,)]


def test_without_clocks_no_order_is_claimed_between_files() -> None:
    said = answer(("rank0.log", "[rank0]: KeyError: 'x'"), ("rank3.log", "[rank3]: ValueError: y"))
    assert said.first is None
    assert len(said.timeline) == 2


def test_what_only_follows_is_not_the_first_failure_though_it_is_printed_first() -> None:
    said = job(f"[rank0]: {CLOSED.format(1)}", f"[rank3]: {OOM}")
    assert said.first is not None
    assert said.first.ranks == (3,)


# --- the program's own exception -------------------------------------------------------------------------------


def test_the_one_exception_that_tells_of_no_peer_is_where_it_began() -> None:
    said = job("[rank1]: ValueError: bad sample 17", f"[rank0]: {CLOSED.format(1)}", f"[rank2]: {CLOSED.format(2)}")
    first = said.diagnoses[0]
    assert (first.cause, first.ranks, first.role) == ("script-error", (1,), Role.ROOT)
    assert first.confidence > 0.8
    assert {d.cause for d in said.diagnoses if d.role is Role.ROOT} == {"script-error"}


def test_an_exception_of_any_kind_counts_only_beside_peers_that_lost_it() -> None:
    alone, beside = (
        job("[rank1]: mylib.StrangeError: x"),
        job("[rank1]: mylib.StrangeError: x", f"[rank0]: {CLOSED.format(1)}"),
    )
    assert alone.diagnoses[0].cause == "unclassified"
    new = job("[rank1]: torch.distributed.DistFluxError: the collective was bent", f"[rank0]: {CLOSED.format(1)}")
    assert "script-error" not in {d.cause for d in new.diagnoses[:1]}
    assert (beside.diagnoses[0].cause, beside.diagnoses[0].ranks) == ("script-error", (1,))


def test_the_rank_that_brings_something_else_is_named_where_most_agree() -> None:
    own = "Rank {} is running collective: CollectiveFingerPrint(SequenceNumber=2, OpType=ALLREDUCE, TensorShape=[{}], TensorDtypes=Float)"
    line = "[rank{0}]: RuntimeError: Detected mismatch between collectives on ranks. {1}, but {2}.Collectives differ in the following aspects:   Tensor Tensor shapes: 4vs 9"
    three = [own.format(0, 4), own.format(1, 9), own.format(2, 4)]
    said = job(
        line.format(0, three[0], three[1]), line.format(1, three[1], three[0]), line.format(2, three[2], three[1])
    )
    assert (said.diagnoses[0].cause, said.diagnoses[0].ranks) == ("collective-shape-mismatch", (1,))
    two = job(line.format(0, three[0], three[1]), line.format(1, three[1], three[0]))
    assert (two.diagnoses[0].cause, two.diagnoses[0].ranks) == ("collective-shape-mismatch", (0, 1))


def test_an_exception_that_a_cause_describes_is_not_the_programs_own() -> None:
    said = job("[rank1]: KeyError: 'x'", f"[rank3]: {OOM}")
    assert said.diagnoses[0].cause == "memory-exhausted"


def test_a_kill_without_a_word_of_memory_is_first_of_all_a_kill() -> None:
    said = job("E0101 api.py:869] failed (exitcode: -9) local_rank: 1 (pid: 4711) of binary: /usr/bin/python3")
    assert [d.cause for d in said.diagnoses[:2]] == ["rank-killed", "rank-oom-killed"]
    assert "dmesg" in said.next[0]


SUMMARY = (
    "  host      : node-a\n  rank      : {0} (local_rank: {0})\n  exitcode  : {1} (pid: {2})  (X)\n  error_file: <N/A>"
)


def test_torchruns_summary_tells_whose_process_it_was() -> None:
    said = job(
        f"[rank0]: {CLOSED.format(1)}",
        "E0101 api.py:869] failed (exitcode: -9) local_rank: 1 (pid: 4711) of binary: /usr/bin/python3",
        SUMMARY.format(0, -15, 4710),
        SUMMARY.format(1, -9, 4711),
        "  traceback : Signal 9 (SIGKILL) received by PID 4711",
    )
    assert (said.diagnoses[0].cause, said.diagnoses[0].ranks) == ("rank-killed", (1,))
    assert said.first is not None
    assert said.first.ranks == (1,)


def test_the_rank_that_never_came_is_the_one_without_a_word() -> None:
    waited = "RuntimeError: [x/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 6000ms for recv operation to complete"
    said = job(
        f"[rank0]: {waited}",
        f"[rank2]: {waited}",
        SUMMARY.format(1, -15, 4711),
        SUMMARY.format(2, -15, 4712),
        SUMMARY.format(0, 1, 4710),
    )
    first = said.diagnoses[0]
    assert (first.cause, first.ranks, first.symptom.value) == ("collective-missing-rank", (1,), "perf-hang")


def test_a_launchers_summary_adds_nothing_to_what_ranks_said_themselves() -> None:
    timed_out = "[rank0]: RuntimeError: [x/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 6000ms for recv operation to complete"
    said = job(
        timed_out, "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:", "  exitcode  : 1 (pid: 7)"
    )
    assert said.diagnoses[0].cause == "collective-missing-rank"


def test_a_line_without_a_clock_has_the_last_time_before_it() -> None:
    said = job("[rank2]: 2026-01-02 10:00:00,000 step 5 loss 0.1 ERROR nothing", f"[rank2]: {OOM}")
    moment = next(m for m in said.timeline if m.cause == "memory-exhausted")
    assert (moment.seconds, moment.exact) == (36000.0, False)
    assert "after 10:00:00 rank 2" in to_text.render(said)


def test_hosts_are_named_where_lines_name_them() -> None:
    said = job(NCCL.format(7, 2), "node-7:77:99 [0] NCCL WARN Cuda failure 'out of memory'")
    moment = next(m for m in said.timeline if m.ranks == (2,))
    assert moment.hosts == ("node-7",)
    assert said.diagnoses[0].hosts == ("node-7",)


def test_a_healthy_log_has_no_time_line() -> None:
    said = job("epoch 1 loss 0.1", "epoch 2 loss 0.05", "done")
    assert (said.timeline, said.first) == ((), None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("a.log", "rank1.log", "rank2.log")),
            st.sampled_from((OOM, CLOSED.format(9), "Killed", "ValueError: x", "hello", "ChildFailedError:")),
            st.none() | st.integers(0, 86399),
            st.none() | st.integers(0, 5),
        ),
        max_size=25,
    )
)
def test_the_time_line_holds_every_rank_that_failed_and_is_in_order(
    rows: list[tuple[str, str, int | None, int | None]],
) -> None:
    logs: dict[str, list[str]] = {}
    for name, text, second, rank in rows:
        clock = "" if second is None else f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d} "
        logs.setdefault(name, []).append(f"{'' if rank is None else f'[rank{rank}]: '}{clock}{text}")
    said = answer(*((name, "\n".join(lines)) for name, lines in logs.items()))
    assert len(said.timeline) <= 12
    assert {(m.source, m.line) for m in said.timeline} == {(m.source, m.line) for m in set(said.timeline)}
    if said.first is not None:
        assert said.first in said.timeline
    json.loads(to_json.render(said))
    to_text.render(said)


# --- what to collect next --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ((f"[rank0]: {CLOSED.format(1)}",), "the rank that ended first"),
        (
            ("torch.distributed.elastic.multiprocessing.errors.ChildFailedError:", "  exitcode  : 1 (pid: 7)"),
            "--redirects 3",
        ),
        (("torch.distributed.DistBackendError: NCCL error in: x.cpp:1, unhandled system error",), "NCCL_DEBUG=INFO"),
        (("[rank0]: FATAL: the flux capacitor is empty",), "TORCH_DISTRIBUTED_DEBUG=DETAIL"),
        (("horovod: FATAL: the flux capacitor is empty",), "HOROVOD_LOG_LEVEL"),
    ],
)
def test_one_thing_is_asked_for_where_the_log_does_not_decide(lines: tuple[str, ...], wanted: str) -> None:
    said = job(*lines)
    assert len(said.next) == 1
    assert wanted in said.next[0]


def test_nothing_is_asked_for_where_the_log_decides() -> None:
    assert job(f"[rank3]: {OOM}").next == ()


# --- frequencies -----------------------------------------------------------------------------------------------


def test_the_tallies_of_frameworks_agree_with_those_of_all() -> None:
    for symptom, patterns in COUNTS.items():
        assert list(BY_FRAMEWORK[symptom]) == [pattern for pattern, _ in patterns]
        for pattern, total in patterns:
            shares = BY_FRAMEWORK[symptom][pattern]
            assert max(shares) <= total <= sum(shares)
            assert all(share <= faults for share, faults in zip(shares, row(symptom).frameworks, strict=True))


@pytest.mark.parametrize(
    ("line", "framework"),
    [
        ("[rank0]: torch.distributed.DistStoreError: Timed out", "PyTorch"),
        ("horovod.common.exceptions.HorovodInternalError: x", "Horovod"),
        ("tensorflow.python.framework.errors_impl.UnavailableError: Socket closed", "TensorFlow"),
        ('File "/x/keras/engine/training.py", line 3, in fit: ValueError: x', "Keras"),
    ],
)
def test_the_framework_is_read_from_the_lines(line: str, framework: str) -> None:
    assert framework in FRAMEWORKS
    assert framework_of(case_from_text([("job.log", f"{line}\nRuntimeError: x".encode())])) == framework


def test_a_fix_says_how_often_it_helped_the_users_of_the_same_framework() -> None:
    said = job(
        "[rank1]: torch.distributed.DistStoreError: Timed out after 7 seconds waiting for clients. 1/2 clients joined."
    )
    assert any("; of PyTorch's 8, " in fix.frequency for fix in said.diagnoses[0].fixes)
