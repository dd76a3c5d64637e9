"""The rank contributes wrong values, as bad memory or a bug does: every call agrees, the results do not."""

import msgspec

from commcheck.model.phase import Phase
from commcheck.worker.context import Fault
from commcheck.worker.steps import Step


class WrongValues(Fault):
    """`argument`: what is added to its values (1)."""

    def alter(self, step: Step, phase: Phase) -> tuple[Step, ...]:
        """Shift the input of every step of the fault's phase."""
        if phase != self.phase:
            return (step,)
        return (msgspec.structs.replace(step, shift=int(self.argument or 1)),)


FAULT = WrongValues
