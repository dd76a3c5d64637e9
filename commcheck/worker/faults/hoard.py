"""The program wants more memory than its process may have; give the rank a limit ("as"), or ask for more than there is."""

import torch

from commcheck.worker.context import Fault


class Hoard(Fault):
    """`argument`: GiB in one tensor (1048576: more than any machine has)."""

    def act(self) -> None:
        """Allocate; the allocator of torch raises."""
        torch.empty(int(self.argument or 1 << 20) << 30, dtype=torch.uint8)


FAULT = Hoard
