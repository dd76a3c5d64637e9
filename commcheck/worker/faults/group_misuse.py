"""The program uses the process group before it is there, makes it twice, or uses it when it has been destroyed."""

import torch.distributed as dist

from commcheck.worker.context import Fault
from commcheck.worker.steps import of_backend


class GroupMisuse(Fault):
    """`argument`: "use" (default: a collective at once, which is too early before the phase first-collective), "again"
    (a second init_process_group) or "after" (destroy, then a collective)."""

    def act(self) -> None:
        """Do it; torch raises."""
        tensor = of_backend(4)
        if self.argument == "again":
            dist.init_process_group("gloo")
        if self.argument == "after":
            dist.destroy_process_group()
        dist.all_reduce(tensor)


FAULT = GroupMisuse
