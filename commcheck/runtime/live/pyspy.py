"""Python stacks of running processes by py-spy, where it is installed: with --nonblocking it reads their memory and does
not stop them, at the price of a stack that may now and then be torn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

from commcheck.diagnose.ingest.py_spy import parse

DEADLINE = 10.0
"""Seconds for all dumps of one look together; each takes under 0.1 s on an idle machine."""
TRIES = 3
"""Looks at a process whose stack could not be read: it is read while it changes, and may be torn."""
AT_ONCE = 8
"""Processes that are read at the same time."""


def program() -> str | None:
    """The py-spy to use: on PATH, or beside this Python."""
    beside = os.path.join(os.path.dirname(sys.executable), "py-spy")
    return shutil.which("py-spy") or (beside if os.access(beside, os.X_OK) else None)


def stacks(pids: tuple[int, ...]) -> tuple[dict[int, tuple[str, ...]], str]:
    """The main thread's frames of each process, the innermost first, and why some are missing (empty: none is)."""
    path = program()
    if path is None:
        return (
            {},
            "stacks: py-spy is not installed (pip install py-spy), so what the program does is seen from outside alone",
        )
    deadline = time.monotonic() + DEADLINE
    found: dict[int, tuple[str, ...]] = {}
    why = ""
    for _ in range(TRIES):
        left = [pid for pid in pids if pid not in found]
        why = ""
        for begin in range(0, len(left), AT_ONCE):
            read, said = _dumps(path, left[begin : begin + AT_ONCE], deadline)
            found |= read
            why = why or said
        if not why or time.monotonic() > deadline:
            break
    return found, why


def _dumps(path: str, pids: list[int], deadline: float) -> tuple[dict[int, tuple[str, ...]], str]:
    """Those of a few processes, read at the same time."""
    running = {
        pid: subprocess.Popen(
            [path, "dump", "--nonblocking", "--pid", str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for pid in pids
    }
    found: dict[int, tuple[str, ...]] = {}
    why = ""
    for pid, process in running.items():
        try:
            out, error = process.communicate(timeout=max(0.05, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            why = why or f"stacks: py-spy took longer than {DEADLINE:g} s"
            process.kill()
            process.communicate()
            continue
        read = parse(out)
        if read and read[0].main:
            found[pid] = read[0].main
        else:
            said = error.decode(errors="replace").strip().splitlines()
            why = why or f"stacks of process {pid}: py-spy: {said[0] if said else 'no stack'}"
    return found, why
