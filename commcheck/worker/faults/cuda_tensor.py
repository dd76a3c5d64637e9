"""The program puts a tensor on a GPU, and there is none, or torch was built without CUDA."""

import torch

from commcheck.worker.context import Fault


class CudaTensor(Fault):
    """`argument`: the device (cuda)."""

    def act(self) -> None:
        """Make it."""
        torch.ones(4, device=self.argument or "cuda")


FAULT = CudaTensor
