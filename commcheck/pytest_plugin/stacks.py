"""A rank's stack, as faulthandler writes it -> the frames of the test. Pure."""

from __future__ import annotations

import re

FRAME = re.compile(r'File "([^"]*)", line (\d+) in (.*)')
HEAD = re.compile(r"(?:Current thread|Thread) 0x\w+.*\(most recent call first\):")
BASE = "/commcheck/worker/workloads/pytest_item.py"
"""Whose frames are below the test's, in the thread that runs it."""
UNDER = ("/_pytest/", "/pluggy/", "/commcheck/worker/", "/hypothesis/")
LIBRARIES = ("/site-packages/", "/dist-packages/", "/lib/python")


def own_frames(stack: tuple[str, ...]) -> tuple[str, ...]:
    """The frames of the test and of what it calls, most recent first."""
    for thread in _threads(stack):
        if any(BASE in line for line in thread):
            return _above(thread)
    return ()


def _above(thread: list[str]) -> tuple[str, ...]:
    found = []
    for line in thread:
        frame = FRAME.search(line)
        if frame is None:
            continue
        if BASE in frame[1]:
            break
        if not any(part in frame[1] for part in UNDER):
            found.append(f"{frame[1]}:{frame[2]} in {frame[3]}")
    return tuple(found)


def where(frames: tuple[str, ...], nodeid: str) -> str:
    """Where the test is: the innermost frame of its own file, else of no library; empty where that is not known."""
    file = nodeid.partition("::")[0]
    for frame in frames:
        path, _, rest = frame.partition(":")
        if path.endswith(file):
            return f"{file}:{rest}"
    return next((f for f in frames if not any(part in f for part in LIBRARIES)), "")


def crash(stderr: str) -> tuple[str, ...]:
    """The stack that faulthandler has printed into a dying rank's output."""
    return tuple(stderr.splitlines()) if "Fatal Python error" in stderr else ()


def shortened(stderr: str) -> str:
    """A dying rank's output without the frames of pytest and commcheck, and without the list of libraries."""
    if "Fatal Python error" not in stderr:
        return stderr
    kept: list[str] = []
    below = False
    for line in stderr.splitlines():
        frame = FRAME.search(line)
        if HEAD.search(line):
            below = False
        elif frame is not None and (below or any(part in frame[1] for part in UNDER)):
            below = below or BASE in frame[1]
            continue
        if not line.startswith("Extension modules: "):
            kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def _threads(stack: tuple[str, ...]) -> list[list[str]]:
    threads: list[list[str]] = []
    for line in stack:
        if HEAD.search(line):
            threads.append([])
        elif threads:
            threads[-1].append(line)
    return threads
