"""The process gets only a part of its time, as on an overloaded processor: stopped and continued, again and again."""

import os
import subprocess
import sys

from commcheck.worker.context import Fault

KEEPER = """
import os, signal, sys, time
target, share = int(sys.argv[1]), float(sys.argv[2])
handle = os.pidfd_open(target)
while os.getppid() == target:
    try:
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        time.sleep(0.1 * (1 - share))
        signal.pidfd_send_signal(handle, signal.SIGCONT)
    except ProcessLookupError:
        break
    time.sleep(0.1 * share)
"""


class Throttle(Fault):
    """`argument`: percent of the time that it runs (20)."""

    def act(self) -> None:
        """Start a child that does it, from here on to the end. It ends as soon as this process is not its parent."""
        share = min(100.0, max(1.0, float(self.argument or 20))) / 100
        nothing = subprocess.DEVNULL  # nobody waits for the end of our outputs because of it
        argv = [sys.executable, "-I", "-S", "-c", KEEPER, str(os.getpid()), str(share)]
        self.child = subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing)


FAULT = Throttle
