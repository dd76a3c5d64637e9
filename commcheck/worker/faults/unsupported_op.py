"""The program asks for what its backend does not have: a sum of scaled values, which only NCCL computes."""

import torch
import torch.distributed as dist

from commcheck.worker.context import Fault


class UnsupportedOp(Fault):
    """`argument`: the factor (0.5)."""

    def act(self) -> None:
        """Call it; gloo refuses."""
        dist.all_reduce(torch.ones(4), op=dist._make_nccl_premul_sum(float(self.argument or 0.5)))  # noqa: SLF001  # no other way


FAULT = UnsupportedOp
