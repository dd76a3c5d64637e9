"""Bytes of logs become lines with rank, time and number, whatever the bytes are."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose.ingest import advice, decode, marks
from commcheck.diagnose.logs import case_from_text, log_matches
from commcheck.errors import InputError
from commcheck.model.case import Origin

_ORDINAL = "RuntimeError: CUDA error: invalid device ordinal"


@pytest.mark.parametrize(
    ("line", "rank"),
    [
        (f"[rank3]: {_ORDINAL}", 3),
        (f"7: {_ORDINAL}", 7),
        (f"[1,4]<stderr>:{_ORDINAL}", 4),
        (f"[6]<stderr>:{_ORDINAL}", 6),
        (f"(RayTrainWorker pid=4711, ip=10.9.0.2) [rank1]: {_ORDINAL}", 1),
        (f"[pod/trainer-2/pytorch] [rank2]: {_ORDINAL}", 2),
        (f"[RANK 9] {_ORDINAL}", 9),
        (_ORDINAL, None),
        ("[W socket.cpp:697] [c10d] The client socket has timed out", None),
        ("12:34:56 RuntimeError: x", None),
    ],
)
def test_rank_marks(line: str, rank: int | None) -> None:
    marked = marks.read(line)
    assert marked.rank == rank
    if rank is not None:
        assert marked.text == _ORDINAL


@pytest.mark.parametrize(("line", "local"), [(f"[default5]:{_ORDINAL}", 5), (f"[trainer2]: {_ORDINAL}", 2)])
def test_local_ranks(line: str, local: int) -> None:
    marked = marks.read(line)
    assert (marked.rank, marked.local, marked.text) == (None, local, _ORDINAL)
    assert case_from_text([("job.log", line.encode())]).lines[0].rank == local  # on one host it is the rank


def test_rank_inside_a_nccl_watchdog_line_is_read_and_kept() -> None:
    marked = marks.read("[E ProcessGroupNCCL.cpp:1785] [PG ID 0 PG GUID 0(default_pg) Rank 12] Exception")
    assert marked.rank == 12
    assert "Rank 12" in marked.text


def test_a_clock_is_read() -> None:
    assert marks.read("[rank0]:[E616 01:02:03.5 x.cpp:1] text").seconds == pytest.approx(3723.5)


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("logs/rank-3.log", 3),
        ("slurm-77_5.out", 5),
        ("train.log", None),
        ("rank_12/out.txt", 12),
    ],
)
def test_rank_of_a_file_name(name: str, rank: int | None) -> None:
    assert marks.of_source(name).rank == rank


def test_a_file_of_torchrun_is_named_after_the_local_rank() -> None:
    assert marks.of_source("run/attempt_0/4/stderr.log") == marks.Named(local=4)
    assert case_from_text([("run/attempt_0/4/stderr.log", _ORDINAL.encode())]).lines[0].rank == 4


def test_line_numbers_survive_progress_bars_and_colours() -> None:
    data = b"start\n\x1b[31m 10%|#  |\r 20%|## |\r\x1b[1mRuntimeError: CUDA error: invalid device ordinal\x1b[0m\nend\n"
    case = case_from_text([("job.log", data)])
    assert [(line.number, line.text) for line in case.lines] == [(2, _ORDINAL)]
    assert case.origin is Origin.LOG


def test_utf16_is_read() -> None:
    case = case_from_text([("job.log", f"one\r\n{_ORDINAL}\r\n".encode("utf-16"))])
    assert case.lines[0].text == _ORDINAL
    assert case.lines[0].number == 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x1f\x8b\x08abc", "damaged"),
        (b"\x28\xb5\x2f\xfd" + b"abc" * 50, "damaged|zstd"),
        (bytes(range(256)) * 40, "not a text file"),
        (b"\x80\x04\x95" + b"\x00" * 60, "not a text"),
    ],
)
def test_what_is_no_text_is_one_clear_error(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as info:
        case_from_text([("dump.bin", data)])
    assert "dump.bin" in str(info.value)
    assert "\n" not in str(info.value)


def test_secrets_do_not_reach_the_case() -> None:
    case = case_from_text([("job.log", b"ValueError: bad login, password=Xk29fjq0a9 for me\n")])
    assert "Xk29fjq0a9" not in case.lines[0].text
    assert "[redacted]" in case.lines[0].text


def test_advice_is_no_evidence() -> None:
    text = "This may indicate a possible application crash on rank 0 or a network set up issue."
    assert advice.is_advice(text, 5, 20)
    fact = "Default process group has not been initialized, please make sure to call init_process_group."
    assert not advice.is_advice(fact, 0, 45)
    harmless = (
        "Setup Custom allreduce failed with CUDART error. To silence this warning, specify --disable-custom-all-reduce."
    )
    assert advice.is_advice(harmless, 0, 45)


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=400)), max_size=3))
def test_arbitrary_bytes_give_a_case_or_an_input_error(sources: list[tuple[str, bytes]]) -> None:
    try:
        case = case_from_text(sources)
    except InputError:
        return
    log_matches(case)


_pieces = st.sampled_from(
    ["Error: ", "[rank", "]: ", "Traceback (most recent call last)", "NCCL WARN ", "connect to ", "<1> failed : ", "Connection refused",
     "WorkNCCL(SeqNum=", "OpType=", "(", ")", "[", "\x1b[", "\r", "\n", "mismatch between collectives", "token=", "a" * 500, " ", "Mismatched "]
)  # fmt: skip


@given(st.lists(_pieces, max_size=60).map("".join))
def test_crafted_texts_never_raise(text: str) -> None:
    log_matches(case_from_text([("x.log", text.encode())]))


@pytest.mark.parametrize(
    "unit", ["error: ", "a", "[rank1]:", "Connect to ", "(", "Exception ", "token=token", "http://a:", "This may be. "]
)
def test_a_line_of_ten_megabytes_takes_no_quadratic_time(unit: str) -> None:
    data = (unit * (10_000_000 // len(unit) + 1)).encode() + b" RuntimeError: x"
    begin = time.monotonic()
    log_matches(case_from_text([("x.log", data)]))
    assert time.monotonic() - begin < 20.0


def test_decode_reports_binary() -> None:
    assert decode.is_binary(b"\x00\x01\x02" * 100)
    assert not decode.is_binary("größer\n".encode())
