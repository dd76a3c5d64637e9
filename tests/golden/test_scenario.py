"""`commcheck scenario` as its user meets it: output, errors, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import commcheck

ROOT = Path(commcheck.__file__).parents[1]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("COMMCHECK_")}
ENVIRONMENT |= {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
LOCAL = """\
title = "Rank 1 is killed"
[[fault]]
kind = "kill"
rank = 1
[expect]
verdict = "unhealthy"
cause = "rank-killed"
symptoms = ["train-communication-error", "perf-hang"]
ranks = [1]
"""


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commcheck", "scenario", *arguments],
        cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def one_error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("commcheck: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_list_shows_name_cause_and_title() -> None:
    done = run("list", "rendezvous/port-dropped")
    assert done.returncode == 0
    assert done.stdout.split()[:2] == ["rendezvous/port-dropped", "port-dropped"]
    kinds = run("list", "--kinds").stdout
    assert "drop " in kinds
    assert "kill " in kinds
    rows = json.loads(run("list", "--format", "json", "--tag", "port-dropped").stdout)
    assert {r["expect"]["cause"] for r in rows} == {"port-dropped"}


def test_no_torch_for_what_starts_no_world() -> None:
    code = "import sys; from commcheck.cli.main import main; main(['scenario', 'list']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "no-such"), ("no scenario is called",)),
        (("run", "rendezvous/port-droped"), ("did you mean 'rendezvous/port-dropped'?",)),
        (("run", "--tag", "port-droped"), ("did you mean 'port-dropped'?",)),
        (("run", "healthy/one-rank", "--tag", "port-dropped"), ("no scenario has all of that",)),
        (("run", "--jobs", "0"), ("--jobs 0",)),
        (("run", "--dir", "/nowhere"), ("--dir /nowhere", "no such folder")),
        (("run", "healthy/one-rank", "--output", "/nowhere/x"), ("--output /nowhere/x",)),
        (("new", "/nowhere/x.toml"), ("/nowhere/x.toml",)),
        (("new", "x.toml", "--kind", "dorp"), ("--kind dorp", "did you mean 'drop'?")),
        (("check", "no-such.toml"), ("no-such.toml", "No such file")),
        ((), ("ACTION",)),
    ],
)
def test_wrong_usage_is_one_line_with_the_remedy(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    said = one_error(run(*arguments, cwd=tmp_path))
    for word in words:
        assert word in said


def test_a_wrong_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(LOCAL.replace("rank = 1", "rank = 5", 1))
    said = one_error(run("run", str(path)))
    assert f"{path}:4: fault[0].rank: there is no rank 5" in said
    assert f"{path}:4" in one_error(run("check", str(path)))


def test_new_makes_a_file_that_is_in_order_and_overwrites_nothing(tmp_path: Path) -> None:
    assert run("new", "mine.toml", cwd=tmp_path).returncode == 0
    assert run("check", "mine.toml", cwd=tmp_path).stdout == "1 scenario in order\n"
    before = (tmp_path / "mine.toml").read_text()
    assert "exists already" in one_error(run("new", "mine.toml", cwd=tmp_path))
    assert (tmp_path / "mine.toml").read_text() == before


def test_a_scenario_of_ones_own_is_run_and_scored(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "mine.toml").write_text(LOCAL)
    done = run("run", "mine.toml", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done
    assert "1/1  ok    mine.toml: rank-killed" in done.stderr
    board = json.loads(done.stdout)
    assert board["sum"]["scenarios"] == board["sum"]["cause_at_1"] == board["sum"]["culprit"] == 1
    (tmp_path / "wrong.toml").write_text(LOCAL.replace('"rank-killed"', '"rank-exited"'))
    done = run("run", "wrong.toml", "--quiet", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "wrong.toml: cause rank-killed instead of rank-exited" in done.stdout
