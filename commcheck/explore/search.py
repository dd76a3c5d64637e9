"""Which worlds to run next, from what the last ones showed. Pure: worlds are asked for, and their observations are told.

Three methods behind one interface. *covering*: each setting by itself, then rows that hold every combination of t
settings; what is found to fail is left out of all further rows, so that it hides nothing. *one-at-a-time*: each setting
by itself. *random*: rows by chance. Whatever fails is shrunk in the same way, and run until it has failed three times.

Worlds are asked for in rounds of a fixed width, and what is asked next depends on the answers alone, never on which of a
round came first: the same seed and the same answers give the same search, on any machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence

from commcheck.explore.findings import BROKEN, Found, Kind, Observation
from commcheck.explore.oracle import kind
from commcheck.generate.covering import Coverage, one_at_a_time, random_rows
from commcheck.generate.parameter import Combination, Row, Space, holds
from commcheck.generate.shrink import shrink

METHODS = ("covering", "random", "one-at-a-time")
WIDTH = 4
"""Worlds of a round. Not the number of cores: the search is to be the same everywhere."""
TIRED = 200
"""Rows by chance in a sequence that were all asked for before: there is hardly another."""
BELIEVED = 3
"""Worlds in which a combination must show before it is believed."""

Answers = Sequence[Observation]
Rounds = Generator[tuple[Row, ...], Answers, None]
Task = Generator[Row, Observation, None]
SHAPES: dict[Kind, frozenset[Kind]] = {
    k: BROKEN - {Kind.NOT_RUN} if k in BROKEN and k is not Kind.NOT_RUN else frozenset({k}) for k in Kind
}
"""What still counts as the same while a row is shrunk: a world that fails may fail otherwise with fewer settings."""


class Search:
    """The state of one search. `worlds` counts them by purpose; `working` are the rows that worked."""

    def __init__(self, space: Space, *, method: str = "covering", strength: int = 2, seed: int = 0) -> None:
        self.space = space
        self.method = method
        self.strength = strength
        self.coverage = Coverage(space.sizes, strength, forbidden=space.forbidden(), seed=seed)
        self.found: list[Found] = []
        self.unsure: list[Found] = []
        self.working: list[Row] = []
        self.observed: dict[Row, list[Observation]] = {}
        self.worlds: Counter[str] = Counter()
        self.base_seconds = 0.0
        self.unshrunk: dict[Row, None] = {}
        self._planned = Coverage(space.sizes, strength, forbidden=space.forbidden(), seed=seed)
        self._broken: list[Combination] = []
        self.seed = seed
        self._fixed = self._by_chance() if method == "random" else iter(one_at_a_time(space.sizes))

    def rounds(self) -> Rounds:
        """Yields the rows of each round, is sent their observations in that order, and ends when nothing is left to try."""
        while not self._base_works():
            if len(self.observed.get(self.space.start, ())) == BELIEVED:
                return  # nothing can be told from a base that does not work
            (base,) = yield (self.space.start,)
            self._record(self.space.start, base, "base")
        self.base_seconds = self.base[-1].seconds
        self._works(self.space.start)
        active: list[tuple[Row, str, Task]] = []
        while True:
            while len(active) < WIDTH:
                row = self._next()
                if row is None:
                    break
                self._begin(active, row)
            if not active:
                return
            answers = yield tuple(asked for asked, _, _ in active)
            for (asked, purpose, _), answer in zip(active, answers, strict=True):
                self._record(asked, answer, purpose)
            left: list[tuple[Row, str, Task]] = []
            for (_, _, task), answer in zip(active, answers, strict=True):
                self._go_on(left, task, answer)
            active = left

    @property
    def base(self) -> Sequence[Observation]:
        """The worlds with the base alone, until one worked."""
        return self.observed.get(self.space.start, [])[: self.worlds["base"]]

    def _base_works(self) -> bool:
        return bool(self.base) and kind(self.base[-1]) not in BROKEN

    # -- where rows come from

    def _next(self) -> Row | None:
        """The next row of the method; None where there is none now. What is under way may open something again."""
        row = next(self._fixed, None)
        if row is None and self.method == "covering":
            row = self._planned.next()
        if row is not None:
            self._planned.close(row)  # rows under way count as closing what they hold
        return row

    def _by_chance(self) -> Iterator[Row]:
        """Rows by chance that were not asked for yet, until hardly any is left."""
        again = 0
        asked: set[Row] = set()
        for row in random_rows(self.space.sizes, self.seed):
            again = again + 1 if row in asked else 0
            if again > TIRED:
                return
            if not again:
                asked.add(row)
                yield row

    # -- one row, from its first world to its finding

    def _begin(self, active: list[tuple[Row, str, Task]], row: Row) -> None:
        self._go_on(active, self._examine(row), None)

    def _go_on(self, active: list[tuple[Row, str, Task]], task: Task, answer: Observation | None) -> None:
        """Let a task have an answer; it asks for another world, or is done."""
        try:
            asked = next(task) if answer is None else task.send(answer)
        except StopIteration:
            return
        active.append((asked, self._purpose, task))

    def _examine(self, row: Row) -> Task:
        if self.method == "covering" and self._explained(row):
            self._reopen(row)
            return
        if len(self.observed.get(row, ())) >= BELIEVED:
            return  # once it failed and its settings alone did not: it is left open, and not asked for again
        self._purpose = "search"
        seen = yield row
        what = kind(seen, self.base_seconds)
        if what not in BROKEN:
            self._works(row)
        if what is None or self._explained(row) or (what not in BROKEN and self._noted(what, row)):
            self._reopen(row)
            return
        self.unshrunk[row] = None
        combination = yield from self._shrunk(row, what)
        if combination is not None:
            yield from self._believe(row, combination, what)
        self.unshrunk.pop(row, None)
        self._reopen(row)

    def _shrunk(self, row: Row, what: Kind) -> Generator[Row, Observation, Combination | None]:
        """The fewest settings of a row that still show it; None when another task has found them meanwhile."""
        shape = SHAPES[what]
        asking = shrink(row, self.strength, self.working if what in BROKEN else ())
        try:
            asked = next(asking)
            while True:
                if what in BROKEN and self._explained(row):
                    return None
                if asked in self.observed:
                    seen = self.observed[asked][0]
                else:
                    self._purpose = "shrink"
                    seen = yield asked
                    if kind(seen, self.base_seconds) not in BROKEN:
                        self._works(asked)
                asked = asking.send(kind(seen, self.base_seconds) in shape)
        except StopIteration as done:
            found: Combination = done.value
            return found

    def _believe(self, row: Row, combination: Combination, what: Kind) -> Task:
        """Run the combination alone until it has shown three times, and note it, sure or unsure."""
        alone = tuple(dict(combination).get(p, 0) for p in range(len(row)))
        while len(self.observed.get(alone, ())) < BELIEVED:
            self._purpose = "again"
            yield alone
            if self._known(combination):
                return
        if self._known(combination):
            return
        runs = self.observed[alone]
        kinds = [kind(o, self.base_seconds) for o in runs]
        showing = [o for o, k in zip(runs, kinds, strict=True) if k in SHAPES[what]]
        if not showing:
            return
        shown = _usual(showing)
        found = Found(
            kind=kind(shown, self.base_seconds) or what,
            combination=combination,
            row=row,
            failed=len(showing),
            runs=len(runs),
            observation=shown,
        )
        (self.found if found.sure else self.unsure).append(found)
        if what in BROKEN:
            self._broken.append(combination)
            self.coverage.forbid(combination)
            self._planned.forbid(combination)

    # -- what is known

    def _known(self, combination: Combination) -> bool:
        return any(f.combination == combination for f in (*self.found, *self.unsure))

    def _explained(self, row: Row) -> bool:
        """Something in the row is known not to work."""
        return any(holds(row, c) for c in self._broken)

    def _noted(self, what: Kind, row: Row) -> bool:
        return any(f.kind is what and holds(row, f.combination) for f in (*self.found, *self.unsure))

    def _works(self, row: Row) -> None:
        if self.coverage.close(row):
            self.working.append(row)
            self._planned.close(row)

    def _reopen(self, row: Row) -> None:
        """What a row was to show, and has not, is still to be shown."""
        self._planned.reopen(row, self.coverage)

    def _record(self, row: Row, seen: Observation, purpose: str) -> None:
        self.worlds[purpose] += 1
        self.observed.setdefault(row, []).append(seen)


def _usual(runs: Sequence[Observation]) -> Observation:
    """The first of those with the cause that was named most often: one world on a busy machine does not decide."""
    causes = Counter(o.cause for o in runs)
    return max(runs, key=lambda o: causes[o.cause])
