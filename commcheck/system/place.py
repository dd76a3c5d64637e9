"""Enter the namespaces in which a process is to run."""

import ctypes
import os
from pathlib import Path

from commcheck.errors import LaunchError
from commcheck.model.plan import Place
from commcheck.system.process import libc

# linux/sched.h
_CLONE_NEWTIME, _CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWNET = 0x00000080, 0x00020000, 0x04000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18  # linux/mount.h
_MNT_DETACH = 2


def enter(place: Place) -> None:
    """Move this (single-threaded) process into `place`. Raises LaunchError that says what was missing.

    A named network namespace is entered as `ip netns exec` does it: a private mount namespace, /sys mounted anew,
    and the files below /etc/netns/NAME over those of /etc."""
    if place.here:
        return
    if place.pid is not None:
        _enter_process(place.pid)
    else:
        _enter_named(place.netns)


def _enter_process(pid: int) -> None:
    cwd = os.getcwd()
    opened = []
    wanted = [("net", _CLONE_NEWNET), ("uts", _CLONE_NEWUTS), ("mnt", _CLONE_NEWNS)]
    if _other_clocks(pid):
        wanted.insert(0, ("time_for_children", _CLONE_NEWTIME))
    # All are opened before the first is entered: the mount namespace changes what /proc shows.
    for name, kind in wanted:
        try:
            opened.append((os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind, name))
        except OSError as e:
            raise LaunchError(
                f"cannot open the {name} namespace of process {pid}: {e.strerror}; is it still running?"
            ) from e
    for fd, kind, name in opened:
        _check(libc().setns(fd, kind), f"enter the {name} namespace of process {pid}")
        os.close(fd)
    try:
        os.chdir(cwd)
    except OSError:
        os.chdir("/")


def _other_clocks(pid: int) -> bool:
    """Processes that `pid` starts have other monotonic clocks than this one (its own do not change with unshare)."""
    try:
        return not os.path.samefile(f"/proc/{pid}/ns/time_for_children", "/proc/self/ns/time")
    except OSError:  # a kernel without them, or no such process, which is said where its network is opened
        return False


def _enter_named(netns: str) -> None:
    try:
        fd = os.open(f"/run/netns/{netns}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise LaunchError(f"no network namespace named {netns!r} (ip netns list shows them): {e.strerror}") from e
    _check(libc().setns(fd, _CLONE_NEWNET), f"enter the network namespace {netns!r}")
    os.close(fd)
    _check(libc().unshare(_CLONE_NEWNS), "make a private mount namespace")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    libc().umount2(b"/sys", _MNT_DETACH)
    _mount(netns, "/sys", "sysfs", 0)
    folder = Path("/etc/netns", netns)
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        target = Path("/etc", file.name)
        if target.exists():
            _mount(str(file), str(target), None, _MS_BIND)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    done = libc().mount(
        source.encode(), target.encode(), None if kind is None else kind.encode(), ctypes.c_ulong(flags), None
    )
    _check(done, f"mount {source} on {target}")


def _check(result: int, what: str) -> None:
    if result == 0:
        return
    number = ctypes.get_errno()
    hint = "; this needs root" if number == 1 else ""
    raise LaunchError(f"cannot {what}: {os.strerror(number)}{hint}")
