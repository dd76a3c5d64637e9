"""The rank issues two collectives in the opposite order."""

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class SwapOrder(Fault):
    """No argument."""

    held: Step | None = None
    done = False

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Hold the first of the workload's two equal all-reduces back until after the second."""
        if self.done or phase != self.phase or step.op != "all_reduce" or step.size != 64 or step.dtype != "float32":
            return (step,)
        if self.held is None:
            self.held = step
            return ()
        self.done = True
        return (step, self.held)


FAULT = SwapOrder
