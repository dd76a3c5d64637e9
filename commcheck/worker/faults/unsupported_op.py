"""The program asks for what its backend does not have: a sum of scaled values, which only NCCL computes."""

import torch.distributed as dist

from commcheck.worker.context import Fault
from commcheck.worker.steps import of_backend


class UnsupportedOp(Fault):
    """`argument`: the factor (0.5)."""

    def act(self) -> None:
        """Call it; gloo refuses."""
        dist.all_reduce(of_backend(4), op=dist._make_nccl_premul_sum(float(self.argument or 0.5)))  # noqa: SLF001  # no other way


FAULT = UnsupportedOp
