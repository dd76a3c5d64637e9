"""Commands of launchers that are started here and end with this process, whatever becomes of it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from commcheck.errors import LaunchError
from commcheck.system.process import die_with_parent

ENDING = 10.0
"""Seconds for a launcher that is told to end: it has to reach every host."""


def started(words: Sequence[str], environment: Mapping[str, str], *, talking: bool = False) -> subprocess.Popen[bytes]:
    """Start it; its output, and what it says of errors, come through one pipe. `talking`: its input is a pipe too. Raises
    LaunchError."""
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE if talking else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=dict(environment),
            # A launcher that is told to end takes its ranks with it; this process may be killed and tell it nothing.
            preexec_fn=functools.partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509
        )
    except OSError as error:
        raise LaunchError(f"{words[0]}: {error.strerror or error}: is it on PATH here?") from error


def ended(*processes: subprocess.Popen[bytes]) -> None:
    """Tell them to end, with all that they have started, and see to it."""
    for process in processes:
        process.terminate()
    left(processes, ENDING)
    for process in processes:
        process.kill()
        process.wait()


def left(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> tuple[subprocess.Popen[bytes], ...]:
    """Those that have not ended by themselves after that time."""
    end = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    return tuple(process for process in processes if process.returncode is None)
