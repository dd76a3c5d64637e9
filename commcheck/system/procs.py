"""What /proc tells of other processes: environment, parents, limits, how a dead one ended. Reading stops nobody."""

import os

from commcheck.model.case import Exit, Limit

_LIMITS = {
    "Max open files": "nofile",
    "Max processes": "nproc",
    "Max locked memory": "memlock",
    "Max address space": "as",
}
_LARGEST_FILE = 4 << 20


def pids() -> tuple[int, ...]:
    """All processes that this /proc shows, in ascending order."""
    return tuple(sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))


def environment(pid: int) -> dict[str, str] | None:
    """The environment with which a process was started; None when it is gone or not ours to read.

    What a program sets in its own environment later is not in it."""
    raw = _read(f"/proc/{pid}/environ")
    if raw is None:
        return None
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def command(pid: int) -> tuple[str, ...]:
    """The command line; empty for a zombie, or one that is gone."""
    raw = _read(f"/proc/{pid}/cmdline") or b""
    return tuple(os.fsdecode(part) for part in raw.rstrip(b"\0").split(b"\0")) if raw else ()


def parent(pid: int) -> int:
    """The parent's pid; 0 when the process is gone."""
    fields = _stat(pid)
    return int(fields[1]) if len(fields) > 1 else 0


def inner(pid: int) -> int:
    """The pid by which a process knows itself, which in a container is another one; `pid` where that cannot be read."""
    raw = _read(f"/proc/{pid}/status") or b""
    row = next((line for line in raw.splitlines() if line.startswith(b"NSpid:")), b"")
    last = row.split()[-1] if row else b""
    return int(last) if last.isdigit() else pid


def session(pid: int) -> int:
    """The session's id; 0 when the process is gone."""
    fields = _stat(pid)
    return int(fields[3]) if len(fields) > 3 else 0


def owner(pid: int) -> int | None:
    """The user id of a process; None when it is gone."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def network(pid: int) -> int | None:
    """The network namespace of a process, by inode; None when it is gone or not ours to read."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


def own_network() -> int | None:
    """The network namespace that this process is in."""
    return network(os.getpid())


def written(pid: int) -> int | None:
    """A number that changes when a process writes to a file, pipe or terminal, and not by the 8 bytes with which its threads
    wake each other through an eventfd (what it sends over sockets is mostly not counted); None when it is gone or not ours
    to read."""
    counts = {}
    for line in (_read(f"/proc/{pid}/io") or b"").splitlines():
        name, _, count = line.partition(b": ")
        counts[name] = int(count) if count.isdigit() else 0
    return counts[b"wchar"] - 8 * counts[b"syscw"] if {b"wchar", b"syscw"} <= counts.keys() else None


def limits(pid: int) -> tuple[Limit, ...]:
    """The resource limits of a process, as `HostFacts` has them; empty when they cannot be read."""
    found = []
    for line in (_read(f"/proc/{pid}/limits") or b"").decode(errors="replace").splitlines():
        name = _LIMITS.get(line[:26].strip())
        values = line[26:].split()
        if name and len(values) >= 2:
            soft, hard = (int(v) if v.isdigit() else -1 for v in values[:2])
            found.append(Limit(name=name, soft=soft, hard=hard))
    return tuple(found)


def maps(pid: int, *needles: str) -> bool:
    """Whether a process has mapped a file whose path contains one of `needles`."""
    raw = _read(f"/proc/{pid}/maps") or b""
    return any(needle.encode() in raw for needle in needles)


def has_device(pid: int, prefix: str) -> bool:
    """Whether a process holds a file open whose path begins with `prefix`."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"{folder}/{name}").startswith(prefix):
                return True
        except OSError:
            continue
    return False


def end_of_zombie(pid: int) -> Exit | None:
    """How a process ended that nobody has waited for yet; None for a live one, or where the kernel does not tell us."""
    fields = _stat(pid)
    if len(fields) < 50 or fields[0] != "Z":
        return None
    status = int(fields[49])
    return Exit(signal=status & 0x7F) if status & 0x7F else Exit(code=status >> 8 & 0xFF)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (proc(5) counts it as the third)."""
    raw = _read(f"/proc/{pid}/stat")
    return [] if raw is None else raw[raw.rindex(b")") + 2 :].decode(errors="replace").split()


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError:
        return None
