"""Start the process that keeps a lab's namespaces, so that it lives as long as we do."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from commcheck.errors import LaunchError

T = TypeVar("T")

KEEPER_SECONDS = 10.0
"""The longest that the keeper may take to hold all namespaces, or to end."""

_LOCK = threading.Lock()
_STARTER: list[tuple[int, ThreadPoolExecutor]] = []


def lasting(work: Callable[[], T]) -> T:
    """Call `work` in a thread that lasts until this process ends.

    A parent-death signal comes with the end of the thread that started the child, and not of its process: what is
    started by a thread that works on one scenario would die with that thread."""
    with _LOCK:
        if not _STARTER or _STARTER[0][0] != os.getpid():  # threads do not survive a fork
            _STARTER[:] = [(os.getpid(), ThreadPoolExecutor(1, "lab-starter"))]
        starter = _STARTER[0][1]
    return starter.submit(work).result()


class Keeper:
    """The keeper and its holders. `pid`: the process in the switch's network; `pids`: one holder for each host."""

    def __init__(self, sysctls: dict[str, str], hosts: list[dict[str, Any]]) -> None:
        """Start them, without waiting; `wait` does."""
        spec = json.dumps({"parent": os.getpid(), "sysctls": sysctls, "hosts": hosts})
        argv = [sys.executable, "-I", "-S", str(Path(__file__).with_name("holder.py")), spec]
        pipe = subprocess.PIPE
        self._process = lasting(
            lambda: subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env={}),
        )
        self.pid = self._process.pid
        self.pids: list[int] = []

    def wait(self) -> None:
        """Wait until all namespaces are held. Raises LaunchError with what went wrong."""
        answer = self._answer(self._process.stdout)
        if answer["errors"]:
            raise LaunchError("the lab could not be built: " + "; ".join(answer["errors"]))
        self.pids = answer["pids"]

    def close(self) -> None:
        """End them, and with them all that exists in their namespaces alone."""
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._process.communicate(timeout=KEEPER_SECONDS)  # closes its input: it ends its holders and itself
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def _answer(self, stdout: IO[bytes] | None) -> dict[str, Any]:
        ready = stdout is not None and select.select([stdout], [], [], KEEPER_SECONDS)[0]
        line = stdout.readline() if stdout is not None and ready else b""
        if not line:
            self._process.kill()
            _, said = self._process.communicate()
            raise LaunchError(f"the lab's keeper did not start: {said.decode(errors='replace').strip() or 'silence'}")
        answer: dict[str, Any] = json.loads(line)
        return answer
