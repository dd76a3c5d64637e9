"""What commcheck wrote itself is an input as well: reports are shown again, files of single ranks judged again."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commcheck.cli.main import main
from commcheck.model.case import Case, Ended, HostFacts, Origin, RankRecord, World
from commcheck.runtime.reports import Writer

ERROR = "RuntimeError: CUDA error: invalid device ordinal"


def made(folder: Path, name: str, log: str) -> Path:
    """The report of a log, as a file."""
    (folder / "log").write_text(log)
    main(["diagnose", str(folder / "log"), "--format", "json", "--output", str(folder / name), "--quiet"])
    (folder / "log").unlink()
    return folder / name


def test_a_report_is_shown_as_it_was_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, "earlier", f"[rank3]: {ERROR}\n")
    before = json.loads(path.read_text())
    assert main(["diagnose", str(path), "--format", "json"]) == 1
    after = json.loads(capsys.readouterr().out)
    assert after.pop("notes") == [*before.pop("notes"), f"{path} is shown as it was judged then"]
    assert after == before
    assert main(["diagnose", str(path)]) == 1
    assert "device-ordinal-out-of-range on rank 3" in capsys.readouterr().out


def test_several_are_shown_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, "a.json", f"[rank3]: {ERROR}\n")
    made(tmp_path, "b.json", f"[rank3]: {ERROR}\n")
    made(tmp_path, "c.json", "[rank5]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n")
    made(tmp_path, "d.json", "step 1 loss 0.5\n")
    assert main(["diagnose", str(tmp_path), "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "unhealthy"
    roots = [(d["cause"], d["ranks"]) for d in report["diagnoses"] if d["role"] == "root"]
    assert ("device-ordinal-out-of-range", [3]) in roots
    assert len({tuple(map(str, r)) for r in roots}) == len(roots) > 1
    assert f"{tmp_path}/d.json: inconclusive" in report["notes"]
    assert main(["diagnose", str(tmp_path / "a.json"), str(tmp_path / "d.json")]) == 1
    assert "device-ordinal-out-of-range" in capsys.readouterr().out


def test_a_report_beside_logs_leaves_them_to_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, "report.json", "step 1 loss 0.5\n")
    (tmp_path / "job.log").write_text(f"[rank3]: {ERROR}\n")
    assert main(["diagnose", str(tmp_path), "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["diagnoses"][0]["ranks"] == [3]
    assert main(["diagnose", str(tmp_path / "report.json"), str(tmp_path / "job.log")]) == 2
    assert "diagnose them apart" in capsys.readouterr().err


def test_files_of_single_ranks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rank in range(2):
        port = "29500" if rank == 0 else "29501"
        record = RankRecord(
            slot=0, rank=rank, world_size=2, host="node", environment={"MASTER_PORT": port}, pid=rank + 1
        )
        case = Case(
            origin=Origin.WORLD, world=World(size=2, backend="gloo"), hosts=(HostFacts(host="node"),), ranks=(record,),
            ended=Ended.FAILED,
        )  # fmt: skip
        Writer(str(tmp_path), rank).write(case, done=True)
    files = sorted(map(str, tmp_path.iterdir()))
    assert main(["diagnose", *files, "--format", "json"]) in {1, 3}
    report = json.loads(capsys.readouterr().out)
    assert [placed["rank"] for placed in report["world"]["placed"]] == [0, 1]
    assert main(["diagnose", files[0], "--format", "json"]) in {1, 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": "commcheck/report/99", "verdict": "healthy"}', "read it with the commcheck that wrote it"),
        ('{"schema": "commcheck/report/1", "verdict": "healthy"', "copy it again"),
        ('{"schema": "commcheck/report/1", "verdict": "fine"}', "copy it again"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(text)
    assert main(["diagnose", str(tmp_path / "x.json")]) == 2
    assert words in capsys.readouterr().err


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5000), st.binary(max_size=9))
def test_a_damaged_report_is_an_error_or_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at: int, junk: bytes
) -> None:
    whole = tmp_path / "whole.json"
    data = (whole if whole.exists() else made(tmp_path, "whole.json", f"[rank3]: {ERROR}\n")).read_bytes()
    at %= len(data)
    (tmp_path / "x.json").write_bytes(data[:at] + junk + data[at + 3 :])
    capsys.readouterr()
    assert main(["diagnose", str(tmp_path / "x.json")]) in {1, 2, 3}
    assert "internal error" not in capsys.readouterr().err


def test_secrets_in_an_edited_report_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, "x.json", f"[rank3]: {ERROR}\n")
    path.write_text(path.read_text().replace(ERROR, f"{ERROR} --password Gh5kkQ2xJ7wv9KpT4"))
    assert main(["diagnose", str(path), "--format", "json"]) == 1
    assert "Gh5kkQ2xJ7wv9KpT4" not in capsys.readouterr().out
