"""The process ends itself with an exit code, without a word."""

import os

from commcheck.worker.context import Fault


class Exit(Fault):
    """`argument`: the exit code (7 when empty)."""

    def act(self) -> None:
        """End."""
        os._exit(int(self.argument or 7))


FAULT = Exit
