"""What processes that have something to say to each other need of the place where they say it, beside the network that is
tried: a directory that all see (`folder`), or the pipes of what has started them (`driven`, `attached`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from commcheck.model.base import Value

T = TypeVar("T")


class Member(Value, frozen=True):
    """A process. `network`: equal for those on one host."""

    id: str
    rank: int
    network: str
    hostname: str
    begun: float


class Board(Protocol):
    """One process's view. Each says something of a topic once."""

    rank: int

    def publish(self, topic: str, data: bytes) -> None:
        """Say it."""

    def others(self, topic: str, ranks: Collection[int]) -> dict[int, bytes]:
        """What those of `ranks` who have spoken have said. Who has taken it need not be told a second time."""

    def lost(self, ranks: Collection[int]) -> dict[int, str]:
        """Those of `ranks` who can say nothing any more, with what is known of why."""

    def wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """The first value that is there; None after that time. It is looked for whenever something may have been said."""
