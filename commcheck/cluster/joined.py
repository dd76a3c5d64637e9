"""The hosts of somebody's launcher, one process on each: all do their part, and one leads: rank 0's, where they meet in a
directory, or the one that has had them started and hears them over that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from commcheck.cluster.agent import Agent
from commcheck.cluster.lead import Lead, Options
from commcheck.cluster.values import Collected
from commcheck.errors import LaunchError, UsageError
from commcheck.runtime.assembly import Assembly
from commcheck.runtime.board import Board, Member

NAME = "cluster"


def assembly(directory: str, rank: int, size: int, deadline: float) -> Assembly:
    """Where they come together; who has not come after `deadline` has said nothing."""
    return Assembly(directory, rank, size, name=NAME, deadline=deadline, all_needed=False)


def follow(board: Board, leader: int = 0) -> int:
    """What all but the one that leads do; the exit code."""
    return Agent(board, leader=leader).serve()


class Leading:
    """The one that leads; where it is one of the hosts, its own part too. A context manager, which tells the others when it is
    over."""

    def __init__(
        self,
        board: Board,
        members: Sequence[Member],
        hosts: Sequence[str],
        say: Callable[[str], None],
        options: Options,
    ) -> None:
        """Raises UsageError where two processes are on one host, and LaunchError where this one cannot listen."""
        _one_each(members, hosts)
        self.code = LaunchError.exit_code
        if board.rank >= 0:
            threading.Thread(target=Agent(board).serve, name="commcheck-agent", daemon=True).start()
        self._lead = Lead(board, hosts, [m.rank for m in members], say, options)

    def __enter__(self) -> Leading:
        return self

    def __exit__(self, *_: object) -> None:
        self._lead.leave(self.code)

    def collected(self) -> Collected:
        """All that is measured."""
        return self._lead.collected()


def _one_each(members: Sequence[Member], hosts: Sequence[str]) -> None:
    by_network: dict[str, list[int]] = {}
    for member in members:
        by_network.setdefault(member.network, []).append(member.rank)
    shared = next((ranks for ranks in by_network.values() if len(ranks) > 1), None)
    if shared is not None:
        raise UsageError(
            f"{', '.join(hosts[rank] for rank in shared)} are one host: start one process per host "
            "(srun --ntasks-per-node 1, mpirun --map-by ppr:1:node)"
        )
