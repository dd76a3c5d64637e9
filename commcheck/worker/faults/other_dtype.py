"""The rank brings a tensor of another dtype."""

import msgspec

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class OtherDtype(Fault):
    """`argument`: the dtype (int32: as many bytes as float32, so that nothing notices but the values)."""

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Change the dtype of every float32 all-reduce of the fault's phase."""
        if phase != self.phase or step.op != "all_reduce" or step.dtype != "float32":
            return (step,)
        return (msgspec.structs.replace(step, dtype=self.argument or "int32"),)


FAULT = OtherDtype
