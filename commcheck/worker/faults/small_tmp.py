"""The rank's /tmp is a file system of a few kilobytes, in a mount namespace of its own: nothing is left of it."""

import tempfile

from commcheck.system.process import libc
from commcheck.worker.context import Fault

_NEWNS, _PRIVATE, _REC = 0x00020000, 1 << 18, 16384  # linux/sched.h, linux/mount.h


class SmallTmp(Fault):
    """`argument`: bytes (4096)."""

    def act(self) -> None:
        """Mount it for this process alone. Raises OSError without the right to."""
        _check(libc().unshare(_NEWNS))
        _check(libc().mount(b"none", b"/", None, _REC | _PRIVATE, None))
        size = f"size={self.argument or 4096}".encode()
        _check(libc().mount(b"small-tmp", tempfile.gettempdir().encode(), b"tmpfs", 0, size))


def _check(result: int) -> None:
    if result != 0:
        raise OSError("the small /tmp of this fault needs the right to mount (root)")


FAULT = SmallTmp
