"""What this process may use: resource limits, shared memory, memory, ports."""

import os
import resource

from commcheck.model.case import Limit
from commcheck.probe.text import read_text

_NAMES = (
    ("nofile", resource.RLIMIT_NOFILE),
    ("nproc", resource.RLIMIT_NPROC),
    ("memlock", resource.RLIMIT_MEMLOCK),
    ("as", resource.RLIMIT_AS),
)


def limits() -> tuple[Limit, ...]:
    """The limits of this process, which its children inherit: counts, and bytes for memlock and as; -1 is unlimited."""
    found = []
    for name, number in _NAMES:
        soft, hard = resource.getrlimit(number)
        found.append(Limit(name=name, soft=_plain(soft), hard=_plain(hard)))
    return tuple(found)


def _plain(value: int) -> int:
    return -1 if value == resource.RLIM_INFINITY or value < 0 else value


def shm_bytes() -> int:
    """The size of /dev/shm in bytes. Raises OSError."""
    stat = os.statvfs("/dev/shm")  # noqa: S108 - the mount is what is asked about
    return stat.f_blocks * stat.f_frsize


def memory_bytes() -> int:
    """The memory that this process may use, in bytes: the machine's, or its cgroup's where that is less.

    Raises OSError or ValueError when the machine's cannot be read."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    bound = _cgroup_bound()
    return total if bound is None else min(total, bound)


def _cgroup_bound() -> int | None:
    """The smallest memory.max on the way up from this process's cgroup, or None (cgroup v1, none set, not readable)."""
    try:
        lines = read_text("/proc/self/cgroup").splitlines()
    except OSError:
        return None
    path = next((line.split("::", 1)[1] for line in lines if line.startswith("0::")), "")
    smallest: int | None = None
    while path.strip("/"):  # the root has no memory.max
        try:
            value = int(read_text(f"/sys/fs/cgroup{path}/memory.max"))
            smallest = value if smallest is None else min(smallest, value)
        except (OSError, ValueError):
            pass  # "max": no bound here
        path = path.rpartition("/")[0]
    return smallest


def port_range() -> tuple[int, int]:
    """The first and last port that the kernel hands out by itself (net.ipv4.ip_local_port_range). Raises OSError or
    ValueError."""
    first, last = read_text("/proc/sys/net/ipv4/ip_local_port_range").split()
    return int(first), int(last)
