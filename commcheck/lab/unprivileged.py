"""Build labs without being root: the command starts itself once more in a user namespace in which it is root.

What works there: everything that lives in namespaces (networks, firewalls, names, /dev/shm, clocks). What does not: memory
control groups, which belong to the machine (`commcheck.lab.memory` says so), and loading of kernel modules."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from commcheck.errors import LaunchError

ENTERED = "COMMCHECK_USER_NAMESPACE"
"""Set for the command that runs inside, against doing it again for ever."""
CLONE_NEWUSER = 0x10000000
SWITCHES = {
    "kernel/unprivileged_userns_clone": "sysctl kernel.unprivileged_userns_clone=1",
    "user/max_user_namespaces": "sysctl user.max_user_namespaces=10000",
}
"""Settings that forbid user namespaces when they are 0, and what allows them again."""
APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


CONTAINER = (
    "in a container this needs --privileged, or --cap-add NET_ADMIN --cap-add SYS_ADMIN"
    " --security-opt systempaths=unconfined --security-opt apparmor=unconfined"
)
EVERY_ID = "4294967295"


def become_root(argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> None:
    """Replace this process by `argv` (default: this very command) as root of a new user namespace, and do not return.

    Returns at once for root, and for who is inside already. Call it first of all: the kernel refuses a process with
    several threads. Raises LaunchError where this machine does not allow it; `environment` defaults to our own."""
    own = dict(os.environ if environment is None else environment)
    if os.geteuid() == 0 or ENTERED in own:
        return
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise LaunchError(refusal(ctypes.get_errno()))
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    except OSError as error:
        raise LaunchError(f"this machine lets nobody be root of a user namespace: {error}; run as root") from error
    command = list(sys.orig_argv if argv is None else argv)
    if argv is None:
        command[0] = sys.executable
    os.execvpe(command[0], command, own | {ENTERED: "1"})


def refusal(code: int) -> str:
    """Why no user namespace could be made, and which setting allows it."""
    for name, remedy in SWITCHES.items():
        with suppress(OSError):
            if Path("/proc/sys", name).read_text(encoding="ascii").strip() == "0":
                return f"labs without root need user namespaces, which are switched off here: {remedy}, or run as root"
    if code == errno.EINVAL:
        return "a process with several threads cannot become root of a user namespace: do it first of all"
    return f"labs without root need user namespaces, which are refused here ({os.strerror(code)}): run as root"


@cache
def missing_inside() -> str:
    """What root lacks here to build hosts (in a container, or in a user namespace), in one sentence; empty if nothing.

    It is tried, once, by a process that makes the namespaces and mounts of a host."""
    argv = [sys.executable, "-I", "-S", str(Path(__file__).with_name("holder.py")), "--try"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().rpartition("\n")[2]
    if not in_user_namespace():
        return f"root may not make virtual hosts here ({said}): {CONTAINER}"
    remedy = "run as root"
    if "unshare" in said and APPARMOR.exists():
        remedy = "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
    elif "/sys" in said:
        remedy = "a container must not hide parts of /sys and /proc (docker run --security-opt systempaths=unconfined)"
    return f"in a user namespace of this machine no virtual host can be made ({said}): {remedy}"


def in_user_namespace() -> bool:
    """This process's root is not the machine's: it does not have all user ids."""
    with suppress(OSError):
        return Path("/proc/self/uid_map").read_text(encoding="ascii").split()[2:] != [EVERY_ID]
    return False  # a kernel without user namespaces
