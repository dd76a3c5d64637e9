"""What `commcheck suggest` refuses before it starts anything: one line that says what to do, exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import commcheck

ROOT = Path(commcheck.__file__).parents[1]
LAUNCHED = {"RANK": "0", "WORLD_SIZE": "2"}


def run(*arguments, **env):
    kept = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE", "COMMCHECK_TRACEBACK"}}
    return subprocess.run(
        [sys.executable, "-m", "commcheck", "suggest", *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--world-size", "0"], {}, "--world-size must be at least 1"),
        (["--max-worlds", "0"], {}, "--max-worlds 0: must be more than 0"),
        (["--timeout", "-1"], {}, "--timeout -1: must be more than 0"),
        (["--for", "fish"], {}, "invalid choice: 'fish'"),
        (["--netns", "0:nowhere"], {}, "no network namespace named 'nowhere'"),
        ([], LAUNCHED, "give --report-dir DIR, where they meet, or --local"),
        (["--report-dir", "/dev/null/x"], LAUNCHED, "--report-dir /dev/null/x: Not a directory"),
        (["--report-dir", "x"], LAUNCHED | {"RANK": "2"}, "RANK=2 and WORLD_SIZE=2 name no rank of a world"),
        (["--report-dir", "x"], {"RANK": "0"}, "WORLD_SIZE= name no rank of a world"),
        (["--output", "/nonexistent/x"], {}, "--output /nonexistent/x"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, env, said):
    done = run(*arguments, **env)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("commcheck: error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
