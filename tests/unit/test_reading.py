"""Logs as streams: whatever the blocks, the compression, the encoding and the launcher, the same lines come out."""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commcheck.cli import dumps
from commcheck.cli.main import main
from commcheck.diagnose import scan
from commcheck.diagnose.ingest import marks
from commcheck.diagnose.ingest.elastic import error_text
from commcheck.diagnose.ingest.split import LONGEST, Splitter
from commcheck.diagnose.ingest.unpack import unpacked
from commcheck.diagnose.logs import case_from_text, log_matches
from commcheck.diagnose.match import judge
from commcheck.errors import InputError
from commcheck.model.case import Case

_ORDINAL = "RuntimeError: CUDA error: invalid device ordinal"
_LOG = f"start\nepoch 1 step 2 loss 0.5\n[rank3]: {_ORDINAL}\n".encode()


# --- the blocks do not matter -----------------------------------------------------------------------------

_PIECES = st.sampled_from(
    ["\n", "\n", "\r", "\r\n", " ", "\x1b[31m", "\x1b[", "\x1b]0;t\x07", "\0", "\x08", "é", "[rank7]: ", "12: ", "step 5 ", "epoch: 3",
     "\n[rank1]: RuntimeError: Socket Timeout\n", f"\n{_ORDINAL}\n", "loss 0.25\n", "100%|##| 9/9 [00:01, 3.5it/s]", "Traceback (most recent call last):\n",
     "h1:77:78 [0] NCCL INFO comm 0x1 rank 4 nranks 8 cudaDev 0 - Init COMPLETE\n", "h1:77:90 [0] NCCL WARN Connect to 10.9.0.2<1> failed : Connection refused\n",
     "exitcode : 1\n", "a" * 700, "error ", "ERROR\n", "password=Gh5kkQ2x "]
)  # fmt: skip
_TEXTS = st.lists(_PIECES, max_size=60).map("".join)
_ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])


def _cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    begin = 0
    for place in sorted(p % (len(data) + 1) for p in places):
        yield data[begin:place]
        begin = place
    yield data[begin:]


def _case(blocks: object) -> Case | str:
    try:
        return case_from_text([("job.log", blocks)])  # type: ignore[list-item]
    except InputError as error:
        return str(error)


@settings(deadline=None)
@given(_TEXTS, _ENCODINGS, st.lists(st.integers(0, 10_000), max_size=12))
@example("\r\n\r\n\x00[rank7]: ", "utf-16-le", [103])
def test_blocks_do_not_change_the_case(text: str, encoding: str, places: list[int]) -> None:
    data = text.encode(encoding)
    whole, cut = _case(data), _case(_cut(data, places))
    assert cut == whole
    if isinstance(whole, Case) and isinstance(cut, Case):
        assert judge(cut) == judge(whole)


@settings(deadline=None)
@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=8))
def test_blocks_do_not_change_what_is_said_of_arbitrary_bytes(data: bytes, places: list[int]) -> None:
    assert _case(_cut(data, places)) == _case(data)


@settings(deadline=None)
@given(_TEXTS)
def test_a_coloured_log_says_what_a_plain_one_says(text: str) -> None:
    plain = "start\n" + text.replace("\x1b", "")
    lines = plain.split("\n")
    coloured = "\n".join(f"\x1b[1;32m{line[:3]}\x1b[0m{line[3:]}" for line in lines)
    assert _case(coloured.encode()) == _case(plain.encode())


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "\n", "b\r", "c d"]), st.sampled_from([1, 3, 300_000, 900_000])), max_size=9
    ),
    st.integers(1000, 400_000),
)
def test_lines_and_parts_of_long_lines_are_the_same_in_any_blocks(pieces: list[tuple[str, int]], size: int) -> None:
    data = "".join(text * (1 if "\n" in text else count // len(text)) for text, count in pieces).encode()

    def parts(blocks: Iterator[bytes]) -> list[bytes]:
        splitter = Splitter()
        found = [block for data in blocks for block in splitter.feed(data)] + list(splitter.finish())
        assert all(len(line) <= LONGEST for block in found for line in block.split(b"\n"))
        # A block may hold many lines; what counts is where long lines were cut.
        return [line for block in found for line in block.splitlines(keepends=True)]

    cut = parts(data[at : at + size] for at in range(0, len(data), size))
    assert cut == parts(iter([data]))
    assert b"".join(cut) == data


def test_what_is_kept_of_a_long_log_is_bounded() -> None:
    def blocks() -> Iterator[bytes]:
        for step in range(40):
            yield "".join(f"[rank{r}]: ERROR: retry {r * step} of {'x' * 3000}\n" for r in range(1000)).encode()

    case = case_from_text([("job.log", blocks())])
    assert len(case.lines) <= 2048
    assert {line.rank for line in case.lines} == set(range(1000))


def test_the_last_step_is_known_whatever_came_between() -> None:
    lines = [f"step {i} loss 0.5\n" for i in range(5000)]
    lines[2500] = (
        "[W socket.cpp:601] [c10d] The IPv6 network addresses of (a, 29777) cannot be retrieved (gai error: -2 - Name or service not known).\n"
    )
    case = case_from_text([("job.log", "".join(lines).encode())])
    assert scan.last_progress(case.lines) == {"job.log": 5000}


# --- compression ------------------------------------------------------------------------------------------


def _zstd(data: bytes) -> bytes:
    packed: bytes = pytest.importorskip("zstandard").ZstdCompressor().compress(data)
    return packed


_PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": _zstd}


@pytest.mark.parametrize("kind", _PACKERS)
def test_compressed_logs_are_read_also_in_several_streams_and_any_blocks(kind: str) -> None:
    packed = _PACKERS[kind](_LOG) + _PACKERS[kind](_LOG)
    blocks = (packed[at : at + 7] for at in range(0, len(packed), 7))
    assert b"".join(unpacked("job.log", blocks)) == _LOG + _LOG


@pytest.mark.parametrize("kind", _PACKERS)
def test_a_compressed_log_without_its_end_is_read_as_far_as_it_goes(kind: str) -> None:
    data = b"".join(b"%d %s\n" % (i, os.urandom(40).hex().encode()) for i in range(40_000))
    packed = _PACKERS[kind](data)
    found = b"".join(unpacked("job.log", iter([packed[: len(packed) * 2 // 3]])))
    assert data.startswith(found)
    assert len(found) > len(data) // 3


def test_zstd_without_its_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(InputError, match=r"pip install 'commcheck\[zstd\]'"):
        list(unpacked("job.log.zst", iter([b"\x28\xb5\x2f\xfd" + bytes(50)])))


def test_directories_of_compressed_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rank_0.log.gz").write_bytes(gzip.compress(b"ok\n"))
    (tmp_path / "rank_3.log.gz").write_bytes(gzip.compress(f"{_ORDINAL}\n".encode()))
    (tmp_path / "shards.tar.gz").write_bytes(b"\x1f\x8bbroken")
    assert main(["diagnose", str(tmp_path)]) == 1
    assert "rank 3" in capsys.readouterr().out


@pytest.mark.parametrize("kind", _PACKERS)
@pytest.mark.parametrize("damage", ["cut off", "overwritten"])
def test_an_archive_without_its_end_is_said_to_be_one(kind: str, damage: str, tmp_path: Path) -> None:
    data = _LOG + b"".join(b"%d %s\n" % (i, os.urandom(40).hex().encode()) for i in range(40_000))
    packed = _PACKERS[kind](data)
    middle = len(packed) * 2 // 3
    (tmp_path / "job.log.packed").write_bytes(
        packed[:middle] if damage == "cut off" else packed[:middle] + b"\xff\x00\x17" * 5000 + packed[middle:]
    )
    (tmp_path / "whole.log").write_bytes(_PACKERS[kind](_LOG))
    report = _report("--format", "json", str(tmp_path))
    assert report["diagnoses"][0]["cause"] == "device-ordinal-out-of-range"
    (note,) = report["notes"]
    assert note.startswith(f"{tmp_path}/job.log.packed: ")
    assert re.search(r"as far as it goes, [1-9][\d.]* MB of text; then it is cut off or damaged \(.+\)", note)


def _report(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "diagnose", *arguments], capture_output=True, text=True, timeout=60
    )
    assert "rror" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# --- launchers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "rank", "host"),
    [
        ("[prterun-head-4711@1,5]<stderr>: ", 5, ""),  # prterun --output tag-fullname
        ("[1,3][trainer-b:881]<stdout>: ", 3, "trainer-b"),  # prterun --output tag-detailed
        ("[4#3520@trainer-c] ", 4, "trainer-c"),  # Intel MPI, I_MPI_DEBUG=+5
        ("2031-01-02T03:04:05.123456789Z [rank6]: ", 6, ""),  # kubectl logs --timestamps
        ("[pod/job-worker-2/pytorch] [rank2]: ", 2, "job-worker-2"),  # kubectl logs --prefix
        ("(RayTrainWorker pid=4711, ip=10.9.0.2) ", None, "10.9.0.2"),
        ("(TorchTrainer(worker) pid=4711) ", None, ""),
        ("trainer-7  | [rank7]: ", 7, "trainer-7"),  # docker compose
        ("[rank: 1] ", 1, ""),  # Lightning
    ],
)
def test_marks_of_launchers(line: str, rank: int | None, host: str) -> None:
    marked = marks.read(line + _ORDINAL)
    assert (marked.rank, marked.host, marked.text) == (rank, host, _ORDINAL)


def test_a_line_of_deepspeed_names_host_and_rank() -> None:
    marked = marks.read("worker-3: [2031-01-02 03:04:05,123] [INFO] [logging.py:96:log_dist] [Rank 24] step=10")
    assert (marked.rank, marked.host, marked.seconds) == (24, "worker-3", pytest.approx(11045.123))


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("out/1/rank.03/stderr", marks.Named(rank=3)),  # mpirun --output-filename, horovodrun --output-filename
        ("logs/2031_01_02_rank11.log", marks.Named(rank=11)),  # deepspeed --enable_each_rank_log
        ("tmp/none_ab1/attempt_0/5/error.json", marks.Named(local=5)),  # torchrun
        ("nccl.trainer-a.4711", marks.Named(host="trainer-a", pid=4711)),  # NCCL_DEBUG_FILE=nccl.%h.%p
        ("debug/nccl_debug.gpu12.cluster.local.881.log", marks.Named(host="gpu12.cluster.local", pid=881)),
        ("trace.2031", marks.Named()),
        ("logs/train-48213-gpu-node7-3.out", marks.Named(task=3, job="logs/train-48213")),  # %x-%j-%N-%t
        ("48213.n1.0.err", marks.Named(task=0, job="48213")),  # %j.%N.%t
        ("x_48213_t11.log.gz", marks.Named(task=11, job="x_48213")),
        ("run-48213102-7.log", marks.Named(task=7, job="run-48213102")),
        ("run-20260102-7.log", marks.Named()),
        ("2031_01.log", marks.Named()),
    ],
)
def test_names_of_files(name: str, named: marks.Named) -> None:
    assert marks.of_source(name) == named


@pytest.mark.parametrize(("tasks", "ranks"), [((0, 1, 2), [0, 1, 2]), ((3,), [None]), ((30, 31), [None, None])])
def test_tasks_in_files_names_are_ranks_where_several_of_a_job_have_them(
    tasks: tuple[int, ...], ranks: list[int]
) -> None:
    case = case_from_text([(f"logs/train-48213-node{n}-{n}.out", f"{_ORDINAL}\n".encode()) for n in tasks])
    assert [line.rank for line in case.lines] == ranks


def test_nccl_lines_are_given_to_the_rank_of_their_process() -> None:
    text = (
        "gpu7:4711:4799 [3] misc/socket.cc:533 NCCL WARN Net : Connect to 10.9.0.2<43210> failed : Connection timed out\n"
        "gpu7:4711:4711 [3] NCCL INFO comm 0x7f rank 1 nranks 4 cudaDev 3 busId 3000 - Init COMPLETE\n"
        "gpu7:4711:4711 [3] NCCL INFO comm 0x8f rank 59 nranks 64 cudaDev 3 busId 3000 - Init COMPLETE\n"
    )
    case = case_from_text([("job.log", text.encode())])
    assert [(rank.rank, rank.host) for rank in case.ranks] == [(59, "gpu7")]
    assert next(m.ranks for r, m in log_matches(case) if r.cause == "data-ports-dropped") == (59,)


def test_the_exception_that_torchrun_keeps_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "attempt_0" / "2"
    folder.mkdir(parents=True)
    (folder / "error.json").write_text(
        '{"message": {"message": "RuntimeError: x", "extraInfo": {"py_callstack": "Traceback (most recent call last):\\n'
        f'{_ORDINAL}\\n", "timestamp": "1"}}}}}}'
    )
    assert main(["diagnose", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "rank 2" in shown
    assert "device-ordinal-out-of-range" in shown


@given(
    st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b'{"message": 1}', b'{"message": {"extraInfo": []}}'])
)
def test_any_error_file_gives_text(data: bytes) -> None:
    assert isinstance(error_text(data), bytes)


# --- a job that still runs --------------------------------------------------------------------------------


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "commcheck", "diagnose", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_live_pipe_gets_an_early_answer_and_an_interrupt_the_report() -> None:
    with _start("-") as process:  # its log is shorter than any buffer
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        process.stdin.write("epoch 1 loss 0.5\n" + _LOG.decode())
        process.stdin.flush()
        early = process.stderr.readline()  # comes while the pipe is open
        assert "so far" in early
        assert "device-ordinal-out-of-range" in early
        process.send_signal(signal.SIGINT)
        report = process.stdout.read()
        assert process.wait(30) == 130
    assert "device-ordinal-out-of-range" in report
    assert "interrupted" in report


def test_an_interrupt_counts_also_where_dumps_lie_beside_the_log(tmp_path: Path) -> None:
    call = {
        "collective_seq_id": 1, "profiling_name": "nccl:all_reduce", "process_group": ["0", "default_pg"], "state": "started",
        "input_sizes": [[4]], "input_dtypes": ["Float"],
    }  # fmt: skip
    for rank, calls in enumerate([[call], [call], []]):
        dump = {"version": "2.10", "pg_config": {"0": {"ranks": "[0, 1, 2]"}}, "pg_status": {}, "entries": calls}
        (tmp_path / f"nccl_trace_rank_{rank}.json").write_text(json.dumps(dump))
    with _start("--format", "json", str(tmp_path), "-") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        process.stdin.write(_LOG.decode())
        process.stdin.flush()
        assert "so far" in process.stderr.readline()  # it has read the dumps, and waits for more of the log
        process.send_signal(signal.SIGINT)
        report = json.loads(process.stdout.read())
        assert process.wait(30) == 130
    assert report["notes"] == ["interrupted: this is what the first 0.0 MB tell"]
    assert {d["cause"] for d in report["diagnoses"]} >= {"collective-missing-rank", "device-ordinal-out-of-range"}


def test_an_interrupt_while_dumps_are_read_gives_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = {"version": "2.10", "pg_config": {"0": {"ranks": "[0, 1]"}}, "pg_status": {}, "entries": []}
    (tmp_path / "trace_rank_0").write_text(json.dumps(dump))
    os.mkfifo(tmp_path / "trace_rank_1")  # nobody writes to it
    read = dumps._dump

    def interrupted(path: str) -> bytes | None:
        if path.endswith("1"):
            raise KeyboardInterrupt  # as Python does for SIGINT
        return read(path)

    monkeypatch.setattr(dumps, "_dump", interrupted)
    assert main(["diagnose", str(tmp_path)]) == 130
    assert "not all files were read" in capsys.readouterr().out


def test_quiet_says_nothing_early(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("commcheck.cli.reading._EVERY", -1.0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(_LOG)))
    assert main(["diagnose", "-", "--quiet"]) == 1
    assert capsys.readouterr().err == ""


# --- never long -------------------------------------------------------------------------------------------

_BOUND = 5.0  # seconds for a megabyte; quadratic work on lines this long takes minutes


@pytest.mark.parametrize("unit", ["a", "a.", "a ", "error ", "Error: a.", "1", "[", "(", "\r", "10%|# |\r", "loss ", "step 1\r", "\x1b[", "\x1b]", "é", "x:1:2 [3] ", "[rank1]: ", "worker-1: ", "token="])  # fmt: skip
def test_long_lines_take_linear_time(unit: str) -> None:
    data = b"RuntimeError: " + unit.encode() * (1_000_000 // len(unit)) + b" Connection refused RuntimeError: x"
    begin = time.process_time()
    log_matches(case_from_text([("x.log", data)]))
    assert time.process_time() - begin < _BOUND
