"""Whatever lies in a file or directory, `commcheck diagnose` answers in one of its ways, and in linear time."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commcheck.cli.main import main

ERROR = "RuntimeError: CUDA error: invalid device ordinal"


def diagnose(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code, and what was said; an error of commcheck's own fails the test."""
    code = main(["diagnose", "--quiet", *arguments])
    said = capsys.readouterr()
    assert code in {0, 1, 2, 3}
    assert "internal error" not in said.err
    assert "Traceback (most" not in said.err
    if code == 2:
        assert said.err.startswith("commcheck: error: ")
        assert said.err.count("\n") == 1
    return code, said.out + said.err


# --- arbitrary bytes ------------------------------------------------------------------------------------------

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
if zstandard := pytest.importorskip("zstandard"):
    _PACKERS["zstd"] = lambda data: zstandard.ZstdCompressor().compress(data)

_ENTRY = {
    "collective_seq_id": 1, "profiling_name": "nccl:all_reduce", "process_group": ["0", "default_pg"], "state": "started",
    "input_sizes": [[4]], "input_dtypes": ["Float"], "frames": [{"name": "f", "filename": "x.py", "line": 3}],
}  # fmt: skip
_DUMP = {"version": "2.10", "pg_config": {"0": {"ranks": "[0, 1]"}}, "pg_status": {}, "entries": [_ENTRY] * 3}
_STACK = 'Process 7: python train.py\nPython v3.11.7 (/usr/bin/python3.11)\n\nThread 7 (idle): "MainThread"\n    f (x.py:3)\n'
_SEEDS = (
    json.dumps(_DUMP).encode(), pickle.dumps(_DUMP, 2), pickle.dumps(_DUMP, 5), _STACK.encode(),
    f"[rank3]: {ERROR}\n".encode() * 3, f"[rank3]: {ERROR}\n".encode("utf-16"), "größe\n".encode("latin-1") * 9,
    b'{"message": {"message": "RuntimeError: x", "extraInfo": {"py_callstack": "Traceback"}}}',
    b'[{"pid": 1, "os_thread_id": 7, "frames": [{"name": "f"}]}]', b'{"schema": "commcheck/report/1", "verdict": "healthy"}',
    bytes(200), b"\x1b[31m\r\n" * 30,
)  # fmt: skip
_JUNK = st.binary(max_size=60) | st.sampled_from(_SEEDS)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Something that is nearly one of the inputs: cut, doubled, overwritten, packed, and damaged again."""
    data = draw(st.sampled_from(_SEEDS) | st.binary(max_size=300))
    for packed in (False, True):
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(data)))
            end = draw(st.integers(at, len(data)))
            data = data[:at] + draw(_JUNK) * draw(st.integers(0, 2)) + data[end:]
        if not packed:
            data = _PACKERS[draw(st.sampled_from(sorted(_PACKERS)))](data)
    return data


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["rank_0", "trace_rank_1.json", "error.json", "job.log.gz", "a.pkl"]), damaged())
    ),
    st.sampled_from(["text", "json", "html", "junit"]),
)
def test_anything_in_files_and_directories_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: list[tuple[str, bytes]], form: str
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    for name, data in files:
        (tmp_path / name).write_bytes(data)
    diagnose(capsys, str(tmp_path), "--format", form)
    if files:
        diagnose(capsys, *{str(tmp_path / name): None for name, _ in files})


# --- odd directories ------------------------------------------------------------------------------------------


def test_a_directory_with_everything_but_files_beside_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "rank_1.log").write_text(ERROR)
    os.mkfifo(inner / "pipe.log")  # opening it would wait for ever
    (inner / "up").symlink_to("..")
    (inner / "self.log").symlink_to("self.log")
    (inner / "gone.log").symlink_to("nowhere")
    (inner / "endless.log").symlink_to("/dev/zero")
    monkeypatch.chdir(inner)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.log")
        code, said = diagnose(capsys, str(tmp_path))
        assert code == 1
        assert "rank 1" in said
        for odd in ("self.log", "gone.log", "socket.log", "endless.log", "", "\0"):
            assert diagnose(capsys, odd)[0] == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_that_may_not_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.log").write_text(ERROR)
    (tmp_path / "job.log").chmod(0)
    code, said = diagnose(capsys, str(tmp_path))
    assert code == 2
    assert "make it readable" in said


@pytest.mark.parametrize("kind", ["log", "no text", "empty", "dump"])
def test_ten_thousand_files(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"log": f"step 1 loss 0.5\n{ERROR}\n".encode(), "no text": bytes(range(256)) * 4, "empty": b""}
    data = texts.get(kind) or (json.dumps(_DUMP).encode() if kind == "dump" else b"")
    taken = []
    for begin, end in ((0, 5000), (5000, 10_000)):
        for number in range(begin, end):
            (tmp_path / f"rank_{number}.log").write_bytes(data)
        begun = time.process_time()
        code, said = diagnose(capsys, str(tmp_path))
        taken.append(time.process_time() - begun)
        if kind == "log":
            assert code == 1
            assert f"ranks 0-{end - 1}" in said
    assert taken[1] < 4 * taken[0] + 0.5, taken


# --- twice as much takes twice as long ------------------------------------------------------------------------

_CHANCE = random.Random(4)
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def _word() -> bytes:
    """Different ones are different in shape, not in digits alone."""
    return _CHANCE.randbytes(5).hex().translate(_LETTERS).encode()


def _dump(size: int) -> dict[str, object]:
    entries = [{**_ENTRY, "collective_seq_id": n, "frames": [{"name": f"f{n}"}] * 4} for n in range(size)]
    return {**_DUMP, "entries": entries}


_HEAD = b'Process 1: x\nPython v3.11\n\nThread 1 (idle): "MainThread"\n'
NASTY: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "a million lines of one byte": (1_000_000, lambda n: b"x\n" * n),
    "one line of ten megabytes": (10_000_000, lambda n: b"x" * n + b"\nRuntimeError: x\n"),
    "words on one line": (2_000_000, lambda n: b"RuntimeError: boom " * (n // 19)),
    "other words on one line": (400_000, lambda n: b" ".join(_word() + b"Error:" for _ in range(n // 17))),
    "newlines": (4_000_000, lambda n: b"\n" * n),
    "carriage returns": (1_000_000, lambda n: b"step 1\r" * (n // 7)),
    "zeros behind text": (4_000_000, lambda n: b"text\n" * 20_000 + bytes(n)),
    "zeros in text": (4_000_000, lambda n: (b"RuntimeError: x\n" + bytes(64)) * (n // 80)),
    "colours": (4_000_000, lambda n: b"\x1b[31mRuntimeError: x\x1b[0m\n" * (n // 25)),
    "colours without an end": (4_000_000, lambda n: b"\x1b]0;" * (n // 4)),
    "utf-16": (2_000_000, lambda n: ("RuntimeError: x\n" * (n // 32)).encode("utf-16")),
    "latin-1": (2_000_000, lambda n: "RuntimeError: größe\n".encode("latin-1") * (n // 20)),
    "characters of four bytes": (4_000_000, lambda n: "\U0001f525\u2028".encode() * (n // 7)),
    "errors that all differ": (12_000, lambda n: b"".join(b"RuntimeError: %s boom\n" % _word() for _ in range(n))),
    "ranks that all differ": (
        20_000, lambda n: b"".join(b"h:%d:1 [0] NCCL INFO comm 0x1 rank %d nranks %d x\n" % (i, i, n) for i in range(n)),
    ),
    "tags": (2_000_000, lambda n: b"[1,0]<stdout>:[rank1]: RuntimeError: x" * (n // 38)),
    "secrets": (2_000_000, lambda n: b"RuntimeError: token=" + b"a,b=c&" * (n // 6)),
    "quotes": (1_000_000, lambda n: b"RuntimeError: password='" * (n // 24)),
    "brackets": (2_000_000, lambda n: b"{" * n),
    "a dump": (3000, lambda n: json.dumps(_dump(n)).encode()),
    "a pickled dump": (3000, lambda n: pickle.dumps(_dump(n), 2)),
    "a pickle of marks": (300_000, lambda n: b"\x80\x02X\x09\0\0\0pg_config" + b"(" * n + b"0" * n + b"."),
    "a pickle of tuples": (300_000, lambda n: b"\x80\x02X\x09\0\0\0pg_config" + b"(t0" * n + b"."),
    "a pickle in itself": (200_000, lambda n: b"\x80\x02]q\0X\x09\0\0\0pg_configa" + b"h\0h\0a0" * n + b"."),
    "a pickle of memos": (
        200_000, lambda n: b"\x80\x02X\x09\0\0\0pg_config" + b"".join(b"r" + i.to_bytes(4, "little") for i in range(n)) + b".",
    ),
    "frames": (100_000, lambda n: _HEAD + b"    f (x.py:1)\n" * n),
    "threads": (10_000, lambda n: _HEAD + b'Thread 2 (idle): "x"\n    f (x.py:1)\n' * n),
    "processes": (2000, lambda n: (_HEAD + b"    all_reduce (torch/distributed/distributed_c10d.py:1)\n") * n),
    "gzip of zeros": (30_000_000, lambda n: gzip.compress(b"text\n" * 20_000 + bytes(n))),
    "many gzip members": (3000, lambda n: gzip.compress(b"RuntimeError: x\n") * n),
}  # fmt: skip
_FACTOR, _SLACK = 3.2, 0.4
"""What doubling may cost: twice as much, and what a busy machine adds."""


@pytest.mark.parametrize("kind", NASTY)
def test_twice_as_much_takes_twice_as_long(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size, made = NASTY[kind]
    path = tmp_path / "rank_0.log"
    diagnose(capsys, "/dev/null")  # what is imported and compiled once counts for neither

    def taken(size: int) -> float:
        path.write_bytes(made(size))
        begun = time.process_time()
        diagnose(capsys, str(path))
        return time.process_time() - begun

    small = min(taken(size), taken(size))
    large = taken(2 * size)
    print(f"{kind}: {small:.2f} s, {large:.2f} s")
    assert large < 20.0
    assert large < _FACTOR * small + _SLACK or taken(2 * size) < _FACTOR * small + _SLACK
