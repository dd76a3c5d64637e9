"""The program communicates once more at its end, when the others have already left: a last barrier on one rank alone."""

import time

import torch.distributed as dist

from commcheck.worker.context import Fault
from commcheck.worker.steps import of_backend


class Farewell(Fault):
    """`argument`: seconds that it takes to come to it (0.2). For the phase teardown."""

    def act(self) -> None:
        """Wait until the others are gone, then call; gloo says that a peer has closed the connection."""
        time.sleep(float(self.argument or 0.2))
        dist.all_reduce(of_backend(1))


FAULT = Farewell
