"""A board on which processes say what they have to say, each of a topic once: files in a directory that all see. Whoever made it takes it away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

POLL = 0.02
"""Seconds between two looks: files on a shared file system announce nothing."""


def whole(path: Path, data: bytes) -> None:
    """A file that is there as a whole or not at all."""
    temporary = path.with_suffix(".writing")
    temporary.write_bytes(data)
    temporary.replace(path)


class Folder:
    """One process's view of it."""

    def __init__(self, directory: str, rank: int) -> None:
        self.rank = rank
        self._directory = Path(directory)

    def publish(self, topic: str, data: bytes) -> None:
        """Say it."""
        whole(self._directory / f"{topic}-{self.rank}.json", data)

    def others(self, topic: str, ranks: Collection[int]) -> dict[int, bytes]:
        """What those of `ranks` who have spoken have said."""
        found = {}
        for rank in ranks:
            with contextlib.suppress(OSError):
                found[rank] = (self._directory / f"{topic}-{rank}.json").read_bytes()
        return found

    def lost(self, ranks: Collection[int]) -> dict[int, str]:
        """A directory does not tell who has gone."""
        return {}

    def wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """`wait_for`."""
        return wait_for(look, seconds)


def wait_for(look: Callable[[], T | None], seconds: float) -> T | None:
    """The first value that is there; None after that time."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None or time.monotonic() > end:
            return found
        time.sleep(POLL)
