"""The process reads address 0: a real segmentation fault."""

import ctypes

from commcheck.worker.context import Fault


class Segv(Fault):
    """No argument."""

    def act(self) -> None:
        """Crash."""
        ctypes.string_at(0)


FAULT = Segv
