"""The keeper process of one lab: it holds the namespaces of the switch and of each host open.

Run as a script (`python -I -S holder.py SPEC`), with the standard library alone, because it has to start in ten
milliseconds. The keeper itself lives in the switch's network namespace; it forks one holder per host, prints their
process ids as JSON, and then waits for the end of its standard input. Two independent mechanisms end it: that end of
file, and the parent-death signal, so that also kill -9 of the parent leaves nothing behind. All that a lab makes lives
in these namespaces and vanishes with their last process.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00000080, 0x00020000, 0x04000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError with the C library's errno when a call of it failed."""
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends.

    The parent may have ended before the request was made; then nobody would ever signal us, so look afterwards."""
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(0)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount, or raise OSError."""
    done = libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode() or None)
    check(done, f"mount {target}")


def private_files(files: dict[str, str]) -> None:
    """Give this mount namespace its own version of `files`, and a /sys that shows its own network.

    The files are made in a tmpfs that is mounted over /sys for a moment, since that directory exists everywhere and is
    to be replaced anyway; the bind mounts keep them alive, and no file is ever made on the machine's own disks."""
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    groups = os.open("/sys/fs/cgroup", os.O_PATH) if Path("/sys/fs/cgroup").is_dir() else -1
    mount("commcheck-lab", "/sys", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for number, (path, text) in enumerate(files.items()):
        made = Path("/sys", str(number))
        made.write_text(text, encoding="utf-8")
        made.chmod(0o644)
        mount(str(made), os.path.realpath(path), "none", MS_BIND)
    check(libc.umount2(b"/sys", MNT_DETACH), "umount /sys")
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if groups >= 0:
        mount(f"/proc/self/fd/{groups}", "/sys/fs/cgroup", "none", MS_BIND | MS_REC)
        os.close(groups)


def own_shm(size: int) -> None:
    """Give this mount namespace a /dev/shm of its own, with room for `size` bytes."""
    mount(
        "commcheck-lab", os.path.realpath(Path("/dev", "shm")), "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},mode=1777"
    )


def shift_clocks(seconds: int) -> None:
    """Let the monotonic clocks of those who enter be ahead by `seconds`: a host that has been up for longer.

    It holds for processes that enter `time_for_children`; the offsets can be set until the first one does."""
    check(libc.unshare(CLONE_NEWTIME), "unshare the clocks")
    Path("/proc/self/timens_offsets").write_text(f"monotonic {seconds} 0\nboottime {seconds} 0\n", encoding="ascii")


def set_sysctls(values: dict[str, str]) -> None:
    """Write below /proc/sys, which shows the network namespace of the process that opens it."""
    for name, value in values.items():
        path = Path("/proc/sys", *name.split("."))
        if path.exists():  # a kernel without IPv6 has none of its switches
            path.write_text(value, encoding="ascii")


def hold(host: dict[str, Any], keeper: int, ready: int) -> NoReturn:
    """Become the holder of one host's namespaces; report on `ready`, then wait for the end."""
    try:
        die_with(keeper)
        libc.prctl(PR_SET_NAME, f"lab-{host['name']}".encode(), 0, 0, 0)
        check(libc.unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWNS), "unshare")
        name = host["name"].encode()
        check(libc.sethostname(name, len(name)), "sethostname")
        private_files(host["files"])
        if host["shm"] is not None:
            own_shm(host["shm"])
        if host["uptime"]:
            shift_clocks(host["uptime"])
        set_sysctls(host["sysctls"])
        os.write(ready, b"ok\n")
        os.close(ready)
    except OSError as error:
        os.write(ready, f"{host['name']}: {error}\n".encode())
        os._exit(1)
    while True:
        signal.pause()


def start_hosts(hosts: list[dict[str, Any]]) -> tuple[list[int], list[str]]:
    """Fork the holders and wait until every one has said "ok" or what went wrong."""
    keeper = os.getpid()
    pids: list[int] = []
    pipes: list[int] = []
    for host in hosts:
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            os.close(0)
            os.close(1)
            hold(host, keeper, write_end)
        os.close(write_end)
        pids.append(pid)
        pipes.append(read_end)
    errors: list[str] = []
    for pipe in pipes:
        with os.fdopen(pipe, encoding="utf-8") as file:
            said = file.read().strip() or "a holder ended without a word"
        if said != "ok":
            errors.append(said)
    return pids, errors


def main(spec: dict[str, Any]) -> int:
    """Hold everything until standard input ends."""
    die_with(spec["parent"])
    libc.prctl(PR_SET_NAME, b"lab-keeper", 0, 0, 0)
    check(libc.unshare(CLONE_NEWNET), "unshare")
    set_sysctls(spec["sysctls"])
    pids, errors = start_hosts(spec["hosts"])
    sys.stdout.write(json.dumps({"pids": pids, "errors": errors}) + "\n")
    sys.stdout.flush()
    while os.read(0, 4096):
        pass
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)
    return 0


def try_host() -> int:
    """Make the namespaces and mounts of a host for the length of this process, or raise OSError."""
    check(libc.unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWNS), "unshare")
    private_files({"/etc/hosts": ""})
    set_sysctls({"net.ipv4.ip_forward": "0"})
    return 0


if __name__ == "__main__":
    sys.exit(try_host() if sys.argv[1] == "--try" else main(json.loads(sys.argv[1])))
