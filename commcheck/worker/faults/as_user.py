"""The rank counts as an ordinary user's process, so that the limit on processes ("nproc") binds it: root is exempt."""

import ctypes
import os

from commcheck.system.process import die_with_parent, libc
from commcheck.worker.context import Fault

_VERSION_3 = 0x20080522  # linux/capability.h
_SYS_ADMIN, _SYS_RESOURCE = 21, 24


class AsUser(Fault):
    """`argument`: the user's number (65534, nobody)."""

    def act(self) -> None:
        """Become that user in the kernel's counting, and give up the rights that exempt from it; files stay readable.

        Raises OSError for who is no root."""
        parent = os.getppid()
        os.setresuid(int(self.argument or 65534), 0, 0)
        header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)()
        _check(libc().capget(header, sets))
        for kind in (0, 1):  # effective, permitted; of capabilities 0 to 31
            sets[kind] &= ~(1 << _SYS_ADMIN | 1 << _SYS_RESOURCE)
        _check(libc().capset(header, sets))
        die_with_parent(parent)  # the kernel forgets that wish when a process changes its user


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "the rights of this process cannot be changed")


FAULT = AsUser
