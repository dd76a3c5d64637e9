"""Signals as data: read from a descriptor, with who sent them (signalfd(2))."""

import ctypes
import os
import signal
import struct
from collections.abc import Iterable

from commcheck.system.process import libc

_CLOEXEC, _NONBLOCK = 0o2000000, 0o4000  # linux/signalfd.h
_SIZE = 128  # of struct signalfd_siginfo and of glibc's sigset_t, in bytes
SI_KERNEL = 0x80
"""Code of a signal that the terminal or the kernel sent to a whole process group (asm-generic/siginfo.h)."""


def block(numbers: Iterable[int]) -> set[signal.Signals]:
    """Keep these signals pending in this thread and those it starts; returns what was blocked before."""
    return {signal.Signals(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, set(numbers))}


def descriptor(numbers: Iterable[int]) -> int:
    """A descriptor that can be read when one of these signals, which must be blocked, is pending. Raises OSError."""
    mask = bytearray(_SIZE)
    for number in numbers:
        mask[(number - 1) // 8] |= 1 << (number - 1) % 8
    fd = libc().signalfd(-1, (ctypes.c_char * _SIZE).from_buffer(mask), _CLOEXEC | _NONBLOCK)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(fd)


def read(fd: int) -> list[tuple[int, int]]:
    """The pending signals: (number, code)."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            data = os.read(fd, _SIZE * 16)
        except BlockingIOError:
            return found
        for at in range(0, len(data), _SIZE):
            number, _, code = struct.unpack_from("=Iii", data, at)
            found.append((number, code))
