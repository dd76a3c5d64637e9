"""The rank runs a command first, in its own place, environment and limits: any fault that a command can make."""

import subprocess

from commcheck.worker.context import Fault


class Shell(Fault):
    """`argument`: the command, for `sh -c`. Its output is the rank's output."""

    def act(self) -> None:
        """Run it, and go on whatever it returns."""
        subprocess.run(["/bin/sh", "-c", self.argument], check=False)


FAULT = Shell
