"""A search with a budget, and what it comes to."""

from __future__ import annotations

import time
from collections.abc import Callable

from commcheck.explore.findings import Exploration, Observation
from commcheck.explore.region import summary
from commcheck.explore.search import Search
from commcheck.explore.worlds import Worlds
from commcheck.model.base import Value


class Budget(Value, frozen=True):
    """When a search ends at the latest. Worlds make it the same on every machine; seconds do not."""

    worlds: int | None = None
    seconds: float | None = None


INTERRUPTED = "interrupted"

Said = Callable[[str], None]


def explore(search: Search, worlds: Worlds, budget: Budget, said: Said, notes: tuple[str, ...] = ()) -> Exploration:
    """Run the search until it has nothing left to try, or its budget is spent.

    The last round may be cut to the budget: which worlds it leaves out does not depend on time where worlds are counted."""
    begin = time.monotonic()
    try:
        ended = _run(search, worlds, budget, said, begin)
    except KeyboardInterrupt:
        ended = INTERRUPTED  # what was learnt until then is still worth telling
    return summary(search, seconds=time.monotonic() - begin, ended=ended, notes=notes)


def _run(search: Search, worlds: Worlds, budget: Budget, said: Said, begin: float) -> str:
    """Run rounds until there are no more; why it ended."""
    rounds = search.rounds()
    rows = next(rounds)
    done = 0
    while True:
        if budget.worlds is not None and done + len(rows) > budget.worlds:
            return f"the budget of {budget.worlds} worlds is spent"
        if budget.seconds is not None and time.monotonic() - begin > budget.seconds:
            return f"the budget of {budget.seconds:g} s is spent"
        seen = worlds.run([search.space.config(row) for row in rows])
        done += len(rows)
        said(_line(search, done, seen))
        try:
            rows = rounds.send(seen)
        except StopIteration:
            return "nothing is left to try"


def _line(search: Search, done: int, seen: tuple[Observation, ...]) -> str:
    coverage = search.coverage
    share = 100.0 * (1 - coverage.left / coverage.total) if coverage.total else 100.0
    causes = sorted({o.cause for o in seen if o.cause})
    return f"{done} worlds, {share:.0f} % of the combinations decided, {len(search.found)} findings" + (
        f"; last: {', '.join(causes)}" if causes else ""
    )
