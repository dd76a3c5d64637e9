"""Labs that are used again, where that is safe: a lab that is not exactly as it was built is closed instead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from commcheck.errors import LaunchError
from commcheck.lab.changes import Changes
from commcheck.lab.lab import Lab
from commcheck.lab.state import Snapshot, differences, snapshot
from commcheck.model.topology import Topology

IDLE = 4
"""How many labs that nobody uses are kept, over all topologies."""


@dataclass
class _Kept:
    """An open lab, and how it was when it was built."""

    lab: Lab
    built: Snapshot
    changes: Changes

    def close(self) -> None:
        self.changes.close()
        self.lab.close()


@dataclass
class LabPool:
    """Open labs by topology. A lab is handed to one user at a time; several threads may ask at once.

    `idle`: how many unused labs are kept. `left`: why labs were not used again, one line for each, oldest first."""

    idle: int = IDLE
    left: list[str] = field(default_factory=list)
    _free: list[_Kept] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: bool = True

    @contextmanager
    def lab(self, topology: Topology) -> Iterator[Lab]:
        """A lab of this topology, as if just built. Give it back with its faults taken back and its ranks ended.

        Raises UsageError for a topology that contradicts itself, LaunchError where it cannot be built."""
        kept = self._taken(topology) or _built(topology)
        try:
            yield kept.lab
        except BaseException:
            kept.close()  # nobody knows in which state
            raise
        self._given_back(kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all labs that nobody uses; those in use are closed when they are given back."""
        with self._lock:
            self._open = False
            free, self._free = self._free, []
        for kept in free:
            kept.close()

    def _taken(self, topology: Topology) -> _Kept | None:
        with self._lock:
            for kept in self._free:
                if kept.lab.topology == topology:
                    self._free.remove(kept)
                    return kept
        return None

    def _given_back(self, kept: _Kept) -> None:
        surplus: list[_Kept] = []
        # The comparison may take as long as a build: other users do not wait for it.
        changed = _leftovers(kept) if self._open else []
        with self._lock:
            self.left += changed
            if changed or not self._open:
                surplus.append(kept)
            else:
                self._free.append(kept)
                surplus += [self._free.pop(0) for _ in range(len(self._free) - self.idle)]
        for old in surplus:
            old.close()


def _leftovers(kept: _Kept) -> list[str]:
    """What is different in a lab from how it was built: nothing, if it can be used again."""
    try:
        now = snapshot(kept.lab, kept.built, kept.changes.places())
        kept.changes.places()  # the flushing of bridges is announced, too
        return differences(kept.built, now)
    except (LaunchError, OSError) as error:  # such as a holder that was killed
        return [f"it could not be looked at: {error}"]


def _built(topology: Topology) -> _Kept:
    lab = Lab(topology)
    lab.__enter__()
    try:
        changes = Changes(lab)  # first: what changes while the snapshot is taken must not be missed
        return _Kept(lab, snapshot(lab), changes)
    except BaseException:
        lab.close()
        raise
