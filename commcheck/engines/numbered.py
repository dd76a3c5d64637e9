"""Engines that number their processes in variables and leave the rest to the program."""

from __future__ import annotations

from collections.abc import Callable

from commcheck.engines.base import Environ, Member, number, present


def numbered(
    engine: str,
    *,
    rank: tuple[str, ...],
    size: tuple[str, ...],
    local_rank: tuple[str, ...] = (),
    local_size: tuple[str, ...] = (),
) -> Callable[[Environ], Member | None]:
    """A `detect` that reads these variables, of each the first that is set."""

    def detect(environ: Environ) -> Member | None:
        own, of = number(environ, *rank), number(environ, *size)
        if own is None or of is None or own >= of:
            return None
        here = number(environ, *local_size)
        return Member(
            engine=engine,
            rank=own,
            world_size=of,
            local_rank=number(environ, *local_rank),
            local_world_size=here,
            # All processes are on this host: the store is too.
            first_host="127.0.0.1" if here == of else "",
            read=present(environ, *rank, *size, *local_rank, *local_size),
        )

    return detect
