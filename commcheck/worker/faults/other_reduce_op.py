"""The rank reduces with another operation: silent wrong values."""

import msgspec

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class OtherReduceOp(Fault):
    """`argument`: the operation (product)."""

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Change the operation of every summing all-reduce of the fault's phase."""
        if phase != self.phase or step.reduce_op != "sum" or step.op != "all_reduce":
            return (step,)
        return (msgspec.structs.replace(step, reduce_op=self.argument or "product"),)


FAULT = OtherReduceOp
