"""The rank leaves out the first collective of a phase, as in `if rank == 0:` around it."""

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class SkipCollective(Fault):
    """`argument`: the collective to leave out (all_reduce)."""

    done = False

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Drop one step."""
        if self.done or phase != self.phase or step.op != (self.argument or "all_reduce"):
            return (step,)
        self.done = True
        return ()


FAULT = SkipCollective
