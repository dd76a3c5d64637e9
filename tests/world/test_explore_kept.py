"""Findings of a search as bundles: each is run again by `commcheck replay`, and does the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import commcheck
from commcheck.replay.again import Wish, replay
from commcheck.replay.compare import lead
from commcheck.replay.file import load

torch = pytest.importorskip("torch")


def test_each_finding_is_saved_and_found_again(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "explore", "--budget", "40", "--focus", "backend", "--seed", "3", "--save",
         str(tmp_path / "found"), "--quiet", "--format", "json"],
        env={**os.environ, "PYTHONPATH": str(Path(commcheck.__file__).parents[1])},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + _told(done.stdout)
    files = sorted((tmp_path / "found").iterdir())
    assert [f.name for f in files] == ["01-backend=cpu-gloo-cuda-nccl.zip", "02-backend=gloom.zip"]
    bundles = [load(f) for f in files]
    assert [(b.head.origin, b.head.seed, b.head.name) for b in bundles] == [
        ("exploration", 3, "backend=cpu:gloo,cuda:nccl"),
        ("exploration", 3, "backend=gloom"),
    ]
    played = replay(bundles[1], Wish(try_fixes=False), command=("commcheck", "replay"), say=lambda _: None)
    assert lead(played.report).cause == "backend-unknown"
    assert played.report.notes[0].startswith("again: the same cause on the same ranks")


def _told(text):
    """What a search found, without its tables."""
    told = json.loads(text)
    return json.dumps({k: told[k] for k in ("base", "base_title", "groups", "unsure", "unshrunk")}, indent=1)
