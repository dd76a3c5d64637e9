"""Dying with the parent, resource limits, and what /proc says of a process."""

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

from commcheck.model.case import ProcessState

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_LIMITS = {
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "memlock": resource.RLIMIT_MEMLOCK,
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "stack": resource.RLIMIT_STACK,
}

_TICKS = os.sysconf("SC_CLK_TCK")


def libc() -> ctypes.CDLL:
    """The C library, with errno kept."""
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this process a signal when `parent` ends, and end at once if it already has.

    The check after the call closes the race in which the parent died before it."""
    libc().prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def set_limits(limits: dict[str, tuple[int, int]]) -> None:
    """Set soft and hard limits by name; -1 is unlimited. Raises ValueError or OSError when the kernel refuses."""
    for name, (soft, hard) in limits.items():
        resource.setrlimit(_LIMITS[name], (soft, hard))


def join_cgroups(directories: tuple[str, ...]) -> None:
    """Move this process into each control group."""
    for directory in directories:
        Path(directory, "cgroup.procs").write_text(str(os.getpid()))


def state(pid: int) -> ProcessState | None:
    """State, thread count, CPU seconds, kernel wait channel and page faults of a process; None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    try:
        waiting = Path(f"/proc/{pid}/wchan").read_text().strip("0")
    except OSError:
        waiting = ""
    faults = int(fields[7]) + int(fields[9])
    return ProcessState(state=fields[0], threads=int(fields[17]), cpu=cpu, waiting_in=waiting, faults=faults)


def unlink_shared(pid: int, beginning: str) -> None:
    """Remove the files that a process maps and whose paths begin so, as it sees them: when it is killed, nobody else does."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return  # it is gone
    mapped = {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    for path in mapped:
        if path.startswith(beginning) and not path.endswith(" (deleted)"):
            with contextlib.suppress(OSError):  # it went just now, or is not ours
                Path(f"/proc/{pid}/root{path}").unlink()


def descendants(pid: int) -> tuple[int, ...]:
    """The live processes below a process, such as those that load its data; none where the kernel does not tell."""
    found: list[int] = []
    left = [pid]
    while left:
        try:
            threads = os.listdir(f"/proc/{(parent := left.pop())}/task")
            texts = [Path(f"/proc/{parent}/task/{t}/children").read_text() for t in threads]
        except OSError:
            continue  # it is gone
        children = [int(child) for text in texts for child in text.split()]
        found += children
        left += children
    return tuple(found)


def oom_kills(pid: int) -> dict[str, int]:
    """How often the kernel's out-of-memory killer has struck in each control group of a process.

    Keys are the counters' files, so that a caller can read them again after the process is gone."""
    found: dict[str, int] = {}
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        candidates: tuple[str, ...]
        if controllers == "":
            candidates = (f"/sys/fs/cgroup{path}/memory.events", f"/sys/fs/cgroup/unified{path}/memory.events")
            own = "/sys/fs/cgroup/memory.events"
        elif "memory" in controllers.split(","):
            candidates = (f"/sys/fs/cgroup/memory{path}/memory.oom_control",)
            own = "/sys/fs/cgroup/memory/memory.oom_control"
        else:
            continue
        counts = {file: count for file in candidates if (count := read_oom_kills(file)) is not None}
        # In a container the path may be the host's, and what is mounted its own group.
        if not counts and (count := read_oom_kills(own)) is not None:
            counts = {own: count}
        found |= counts
    return found


def read_oom_kills(file: str) -> int | None:
    """The `oom_kill` counter in a memory.events (cgroup v2) or memory.oom_control (v1) file; None when unreadable."""
    try:
        text = Path(file).read_text()
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return None
