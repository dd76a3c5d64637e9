"""Suites of their own, run by a pytest of their own: what a user sees."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LIMIT = 280
"""Seconds for a suite: each imports torch twice, and the machine may be busy."""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT + 20))


class Suite:
    """A finished run of pytest."""

    def __init__(self, done, folder):
        self.returncode = done.returncode
        self.text = done.stdout + done.stderr
        self.folder = folder

    def outcome(self, test):
        """What -rA says of a test: its word, and the rest of its line."""
        found = re.search(
            rf"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) \S*{re.escape(test)}(?: - (.*))?$", self.text, re.MULTILINE
        )
        assert found, f"{test} is not in the summary\n{self.text}"
        return found[1], found[2] or ""

    def failure(self, test):
        """What is shown of a failed test."""
        found = re.search(
            rf"^_+ {re.escape(test)} _+$(.*?)^(?:_+ \S.* _+|=+ .* =+)$", self.text, re.MULTILINE | re.DOTALL
        )
        assert found, f"no failure of {test} is shown\n{self.text}"
        return found[1]


def environment(**more):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    return {k: v for k, v in {**inherited, "COLUMNS": "160", **more}.items() if v is not None}


def write(folder, files):
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))


@pytest.fixture(scope="session")
def run():
    def run(folder, files, *arguments, cache=False, **more):
        write(folder, files)
        own = () if cache else ("-p", "no:cacheprovider")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-rA", *own, *arguments],
            cwd=folder,
            env=environment(**more),
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        return Suite(done, Path(folder))

    return run


@pytest.fixture
def start():
    """Start pytest and leave it running; what is left of it is ended."""
    running = []

    def start(folder, files, *arguments):
        write(folder, files)
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
