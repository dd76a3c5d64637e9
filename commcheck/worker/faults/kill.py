"""The process is killed by SIGKILL, as an administrator or a scheduler does it."""

import os
import signal

from commcheck.worker.context import Fault


class Kill(Fault):
    """No argument."""

    def act(self) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


FAULT = Kill
