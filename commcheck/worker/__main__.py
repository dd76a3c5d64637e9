"""How the launcher starts us: `zygote FD PARENT WORKLOAD WHERE`, or `cold FILE STDOUT STDERR JOURNAL STACK PARENT` (file descriptors)."""

import contextlib
import os
import sys

from commcheck.model import wire
from commcheck.system.process import die_with_parent
from commcheck.worker.rank import PLACING_FAILED, run, settle


def main(arguments: list[str]) -> None:
    """Dispatch."""
    if arguments[0] == "zygote":
        from commcheck.worker import zygote

        zygote.main(int(arguments[1]), int(arguments[2]), *arguments[3:])
        return
    file, *rest = (int(a) for a in arguments[1:])
    *channels, parent = rest
    die_with_parent(parent)
    _unname_clock()
    os.setpgid(0, 0)
    with open(file, "rb") as opened:
        opened.seek(0)
        assignment = wire.assignment(opened.read())
    try:
        settle(assignment, tuple(channels))
    except BaseException as e:  # as in the forking process: say so on the rank's own stderr, and end
        sys.stderr.write(f"commcheck: this rank could not be placed: {e}\n")
        sys.stderr.flush()
        os._exit(PLACING_FAILED)
    run(assignment, tuple(channels))


def _unname_clock() -> None:
    """libfaketime, which gives a process another wall clock, makes two files in /dev/shm for the children it may get, and
    takes them away in an exit handler that no killed process runs. It has them open; nobody needs their names."""
    if "FAKETIME" in os.environ:
        for kind in ("faketime_shm_", "sem.faketime_sem_"):
            with contextlib.suppress(OSError):
                os.unlink(f"/dev/shm/{kind}{os.getpid()}")  # noqa: S108 - the place is the library's


if __name__ == "__main__":
    main(sys.argv[1:])
