"""The process takes memory until the kernel's out-of-memory killer ends it; needs a memory control group around it."""

from commcheck.worker.context import Fault

_PIECE = 16 << 20
CEILING = 4 << 30
"""Bytes after which it gives up, so that a missing control group does not take the machine down."""


class Oom(Fault):
    """No argument."""

    def act(self) -> None:
        """Take and touch memory. Raises MemoryError at the ceiling."""
        taken: list[bytearray] = []
        while len(taken) * _PIECE < CEILING:
            taken.append(bytearray(b"\1") * _PIECE)
        raise MemoryError("no out-of-memory killer came: is the rank in a control group with a memory limit?")


FAULT = Oom
