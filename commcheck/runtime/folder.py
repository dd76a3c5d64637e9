"""A board on which processes say what they have to say, each of a topic once: files in a directory that all see. Whoever made it takes it away."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path


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
