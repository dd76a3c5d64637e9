"""The rank brings a tensor of another size."""

import msgspec

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class OtherShape(Fault):
    """`argument`: how many elements more (5)."""

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Enlarge the tensor of every all-reduce of the fault's phase."""
        if phase != self.phase or step.op != "all_reduce":
            return (step,)
        return (msgspec.structs.replace(step, size=step.size + int(self.argument or 5)),)


FAULT = OtherShape
