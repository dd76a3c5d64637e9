"""The user's script raises in this phase."""

from commcheck.worker.context import Fault


class Raise(Fault):
    """`argument`: the message."""

    def act(self) -> None:
        """Raise ValueError."""
        raise ValueError(self.argument or "an exception made on purpose")


FAULT = Raise
