"""The process is stopped by SIGSTOP, as a debugger or a suspended job is."""

import os
import signal

from commcheck.worker.context import Fault


class Stop(Fault):
    """No argument."""

    def act(self) -> None:
        """Stop until somebody sends SIGCONT."""
        os.kill(os.getpid(), signal.SIGSTOP)


FAULT = Stop
