"""The rank calls another collective than the others."""

import msgspec

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class OtherCollective(Fault):
    """`argument`: the collective to call instead (broadcast)."""

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Replace every all-reduce of the fault's phase."""
        if phase != self.phase or step.op != "all_reduce":
            return (step,)
        return (msgspec.structs.replace(step, op=self.argument or "broadcast", reduce_op=""),)


FAULT = OtherCollective
