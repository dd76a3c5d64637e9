"""A memory limit for a rank: a control group of its own, of version 1 or 2, whichever the machine has."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from commcheck.errors import LaunchError

_NUMBERS = count(1)
GUARD_SECONDS = 10.0
"""The longest that the removal of a group may take (its last process has to be gone)."""

GUARD = """
import os, signal, sys, time
group = sys.argv[1]
sys.stdout.write("ready\\n")
sys.stdout.flush()
while os.read(0, 4096):
    pass
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        os.rmdir(group)
        break
    except FileNotFoundError:
        break
    except OSError:
        for line in open(group + "/cgroup.procs"):
            try:
                os.kill(int(line), signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.005)  # the kernel has no event for the end of a process that is not our child's group
"""
"""A group is a directory, and no kernel object that vanishes with us: so a process that only waits for our end
removes it, also after kill -9. It gets no parent-death signal, on purpose; the end of its input wakes it."""


def groups_root() -> tuple[Path, str] | None:
    """Where this process may make memory groups, and the name of the file for the limit. None: nowhere."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()]
    for _, where, kind, options, *_ in mounts:
        if kind == "cgroup" and "memory" in options.split(","):
            inside = next((path for _, names, path in own if "memory" in names.split(",")), "/")
            found = Path(where + inside)
            found = found if found.is_dir() else Path(where)
            if os.access(found, os.W_OK):  # containers have them read-only
                return found, "memory.limit_in_bytes"
    for _, where, kind, *_ in mounts:
        if kind == "cgroup2":
            # Version 2 forbids processes in inner groups, so the new group goes to the top, not below our own.
            control = Path(where, "cgroup.subtree_control")
            if (
                control.is_file()
                and "memory" in control.read_text(encoding="ascii").split()
                and os.access(where, os.W_OK)
            ):
                return Path(where), "memory.max"
    return None


@contextmanager
def memory_group(limit: int) -> Iterator[str]:
    """A memory group with `limit` bytes; gives its directory (for `RankPlan.cgroups`) and removes it afterwards.

    Raises LaunchError where the machine has no memory controller that we may use."""
    root = groups_root()
    if root is None:
        raise LaunchError("no memory control group can be made here (neither version 1 nor a delegated version 2)")
    directory, file = root
    group = directory / f"commcheck-{os.getpid()}-{next(_NUMBERS)}"
    argv = [sys.executable, "-I", "-S", "-c", GUARD, str(group), str(GUARD_SECONDS)]
    guard = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", start_new_session=True)
    try:
        if guard.stdout is None or guard.stdout.readline() != b"ready\n":
            raise LaunchError("the memory group's guard did not start")
        try:
            group.mkdir()
            (group / file).write_text(str(limit), encoding="ascii")
        except OSError as error:  # they belong to the machine: the root of a user namespace may not make them
            raise LaunchError(f"no memory control group can be made in {directory}: {error.strerror}") from error
        yield str(group)
    finally:
        guard.communicate(timeout=GUARD_SECONDS + 1.0)
