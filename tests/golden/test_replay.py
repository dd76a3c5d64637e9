"""`commcheck replay` as a process: what cannot be run again is said in one line, with exit code 2, before anything is started."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import commcheck


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "commcheck", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(commcheck.__file__).parents[1]), **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refused(done, *words):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("commcheck: error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_help_names_its_sources_and_options():
    done = run("replay", "--help")
    assert done.returncode == 0
    for word in ("SOURCE", "--world-size", "--with-cause", "--here", "--lab", "--trust", "flight recorder"):
        assert word in done.stdout


def test_what_is_not_there_or_something_else(tmp_path):
    refused(run("replay", tmp_path / "none.zip"), "none.zip: there is no such file")
    (tmp_path / "text").write_text("hello\n")
    refused(run("replay", tmp_path / "text"), "neither a bundle of commcheck, nor a dump")
    (tmp_path / "empty").mkdir()
    refused(run("replay", tmp_path / "empty"), "holds no dump of PyTorch's flight recorder, and no ranks' reports")
    refused(run("replay"), "SOURCE")


def test_a_broken_or_foreign_archive(tmp_path):
    file = tmp_path / "b.zip"
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("../../evil", "x")
    refused(run("replay", file), "b.zip: holds '../../evil', which no bundle does")
    file.write_bytes(b"PK\x03\x04 and no more")
    refused(run("replay", file), "b.zip: no whole bundle")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--here", "--lab"), "not allowed with"),
        (("--world-size", "0"), "--world-size must be at least 1"),
        (("--save", "/no/such/folder/x.zip"), "--save /no/such/folder/x.zip"),
    ],
)
def test_options_that_cannot_be(tmp_path, arguments, says):
    refused(run("replay", tmp_path, *arguments), says)


def test_one_rank_of_many_does_not_save_the_world(tmp_path):
    done = run("preflight", "--save", tmp_path / "x.zip", RANK="0", WORLD_SIZE="2")
    refused(done, "give --report-dir DIR on all ranks, then: commcheck replay DIR --save FILE")


def test_a_world_is_not_run_for_a_file_that_cannot_be_written():
    refused(run("preflight", "--save", "/no/such/folder/x.zip"), "/no/such/folder is no folder that can be written")
    refused(run("scenario", "run", "--all"), "--save DIR")
