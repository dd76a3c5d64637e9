"""The program has opened files and closed none: it has nearly used up its descriptors."""

import os

from commcheck.worker.context import Fault


class FdLeak(Fault):
    """`argument`: how many descriptors are left (0)."""

    def act(self) -> None:
        """Open until none can be opened, then give back what is to be left."""
        opened: list[int] = []
        try:
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:  # the limit
            for handle in opened[: int(self.argument or 0)]:
                os.close(handle)


FAULT = FdLeak
