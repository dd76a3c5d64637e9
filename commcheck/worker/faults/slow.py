"""The rank is slower than the others: it computes for a while before each collective."""

import time

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class Slow(Fault):
    """`argument`: milliseconds before each collective of the fault's phase (50)."""

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Be busy, as a rank with more data or a hot processor is; a sleeping one would look like one that waits."""
        end = time.monotonic() + float(self.argument or 50) / 1e3
        while phase == self.phase and time.monotonic() < end:
            pass
        return (step,)


FAULT = Slow
