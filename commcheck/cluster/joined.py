"""The hosts of somebody's launcher, one task on each: all do their part, and rank 0's process leads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from commcheck.cluster.agent import Agent
from commcheck.cluster.lead import Lead, Options
from commcheck.cluster.values import Collected
from commcheck.errors import LaunchError, UsageError
from commcheck.model.base import ranks_text
from commcheck.runtime.assembly import Assembly

NAME = "cluster"


def assembly(directory: str, rank: int, size: int, deadline: float) -> Assembly:
    """Where they come together; who has not come after `deadline` has said nothing."""
    return Assembly(directory, rank, size, name=NAME, deadline=deadline, all_needed=False)


def follow(board: Assembly) -> int:
    """What all but rank 0's do; the exit code."""
    return Agent(board).serve()


class Leading:
    """Rank 0's: its own part in a thread, and the lead. A context manager, which tells the others when it is over."""

    def __init__(self, board: Assembly, hosts: Sequence[str], say: Callable[[str], None], options: Options) -> None:
        """Raises UsageError where two processes are on one host, and LaunchError where this one cannot listen."""
        _one_each(board)
        self.code = LaunchError.exit_code
        threading.Thread(target=Agent(board).serve, name="commcheck-agent", daemon=True).start()
        self._lead = Lead(board, hosts, [m.rank for m in board.members], say, options)

    def __enter__(self) -> Leading:
        return self

    def __exit__(self, *_: object) -> None:
        self._lead.leave(self.code)

    def collected(self) -> Collected:
        """All that is measured."""
        return self._lead.collected()


def _one_each(board: Assembly) -> None:
    by_network: dict[str, list[int]] = {}
    for member in board.members:
        by_network.setdefault(member.network, []).append(member.rank)
    shared = next((ranks for ranks in by_network.values() if len(ranks) > 1), None)
    if shared is not None:
        raise UsageError(
            f"{ranks_text(shared)} are on one host: start one task per host (srun --ntasks-per-node 1, mpirun --map-by ppr:1:node)"
        )
