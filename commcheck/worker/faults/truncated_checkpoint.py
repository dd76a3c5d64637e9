"""The program loads a checkpoint of which only a part was written, as when the writer was killed."""

import io

import torch

from commcheck.worker.context import Fault


class TruncatedCheckpoint(Fault):
    """`argument`: how many of its bytes are there (500)."""

    def act(self) -> None:
        """Write one, cut it, load it; torch raises."""
        whole = io.BytesIO()
        torch.save(torch.nn.Linear(16, 16).state_dict(), whole)
        torch.load(io.BytesIO(whole.getvalue()[: int(self.argument or 500)]), weights_only=True)


FAULT = TruncatedCheckpoint
