"""Run a program inside a host so that it also dies with us (`python -I -S enter.py PARENT HOLDER DIR ARGV...`).

nsenter alone does not do that: it has no parent-death signal, and a program left in a namespace keeps that
namespace alive. The order of entering is network, host name, mounts: the mount namespace comes last, because after it
/proc/HOLDER/ns may look different. Entering a mount namespace asks for a process with one thread and with a file-system
context (working directory, root) of its own; both are true after fork, and false in a thread of a larger process.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NAMESPACES = ("net", "uts", "mnt")


def enter(holder: int) -> None:
    """Join the namespaces of `holder`."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = list(NAMESPACES)
    clocks = "time_for_children"  # where a holder whose clocks differ has them; absent in kernels without
    if os.path.exists(f"/proc/self/ns/{clocks}") and not os.path.samefile(
        f"/proc/{holder}/ns/{clocks}", "/proc/self/ns/time"
    ):
        names.insert(0, clocks)
    handles = [os.open(f"/proc/{holder}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names]
    for handle in handles:
        if libc.setns(handle, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"setns: {os.strerror(code)}")
        os.close(handle)


def main(arguments: list[str]) -> None:
    """Tie this process's life to its parent's, enter, and become the program."""
    parent, holder, directory, program = int(arguments[0]), int(arguments[1]), arguments[2], arguments[3:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    enter(holder)
    os.chdir(directory)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
