"""`commcheck diagnose`: what it reads, what it refuses with one clear sentence, and its exit codes."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from commcheck.cli.main import main

_FAULT = "[rank3]: RuntimeError: CUDA error: invalid device ordinal\n"


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = main(["diagnose", "--format", "json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_a_file_with_a_fault_is_unhealthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.log").write_text("start\n" + _FAULT)
    code, report = _json(capsys, str(tmp_path / "job.log"))
    assert (code, report["verdict"]) == (1, "unhealthy")
    first = report["diagnoses"][0]  # type: ignore[index]
    assert (first["cause"], first["ranks"]) == ("device-ordinal-out-of-range", [3])
    assert first["evidence"][0]["line"] == 2


def test_a_directory_is_read_with_the_ranks_of_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rank in range(3):
        (tmp_path / str(rank)).mkdir()
        (tmp_path / str(rank) / "stderr.log").write_text(
            "RuntimeError: CUDA error: invalid device ordinal\n" if rank == 2 else "ok\n"
        )
    (tmp_path / "model.pt").write_bytes(bytes(300))
    _, report = _json(capsys, str(tmp_path))
    assert report["diagnoses"][0]["ranks"] == [2]  # type: ignore[index]


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(_FAULT.encode())))
    code, report = _json(capsys, "-")
    assert code == 1
    assert report["diagnoses"][0]["evidence"][0]["source"] == "standard input"  # type: ignore[index]


def test_a_log_without_a_failure_is_inconclusive_not_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.log").write_text("epoch 1 loss 0.5\n")
    code, report = _json(capsys, str(tmp_path / "job.log"))
    assert (code, report["verdict"]) == (3, "inconclusive")


@pytest.mark.parametrize("kind", ["missing", "binary", "gzip", "empty-directory", "directory-without-logs", "device"])
def test_bad_input_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "binary":
        path.write_bytes(bytes(range(256)) * 50)
    elif kind == "gzip":
        path.write_bytes(b"\x1f\x8b\x08\x00rest of it")
    elif kind == "empty-directory":
        path.mkdir()
    elif kind == "directory-without-logs":
        path.mkdir()
        (path / "model.pt").write_bytes(bytes(300))
    elif kind == "device":
        path = Path(os.devnull)
    assert main(["diagnose", str(path)]) == 2
    captured = capsys.readouterr()
    assert str(path) in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not captured.out


def test_secrets_in_a_log_reach_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.log").write_text("ValueError: login failed for https://me:Hk72jQpl0Z@git.example/x\n" + _FAULT)
    for form in ("text", "json", "junit"):
        main(["diagnose", "--format", form, str(tmp_path / "job.log")])
        captured = capsys.readouterr()
        assert "Hk72jQpl0Z" not in captured.out + captured.err
