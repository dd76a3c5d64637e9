"""Rows such that every combination of t choices is in one of them, as far as it may be: t-way covering arrays.

Greedy, one row at a time: a row begins with a combination that is still open, and each further parameter takes the
choice that closes most. So a search may ask for the next row after it has learnt from the last one: what is known to
fail is forbidden from then on, and what it would have hidden is still open. Deterministic for a seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from random import Random

from commcheck.generate.parameter import Combination, Row, Setting

CANDIDATES = 4
"""Rows that are tried for each that is taken: more give slightly fewer rows and take longer."""
STEPS = 20_000
"""Choices tried until the search for any row that holds a combination is given up."""


class Coverage:
    """Which combinations of `strength` choices are open. A combination that no row may hold is never open."""

    def __init__(
        self, sizes: Sequence[int], strength: int, *, forbidden: Iterable[Combination] = (), seed: int = 0
    ) -> None:
        self.sizes = tuple(sizes)
        self.strength = min(strength, len(self.sizes))
        self._random = Random(seed)  # no cryptography
        self._forbidden: list[Combination] = []
        self._by_setting: dict[Setting, list[Combination]] = {}
        self._open: dict[tuple[int, ...], set[tuple[int, ...]]] = {
            where: set(product(*(range(self.sizes[p]) for p in where)))
            for where in combinations(range(len(self.sizes)), self.strength)
        }
        self.total = self.left
        for combination in forbidden:
            self.forbid(combination)
        self.total = self.left

    @property
    def left(self) -> int:
        """How many combinations are open."""
        return sum(map(len, self._open.values()))

    def open(self) -> Iterator[Combination]:
        """The open combinations."""
        for where, values in self._open.items():
            for value in sorted(values):
                yield frozenset(zip(where, value, strict=True))

    def close(self, row: Row) -> int:
        """The row was seen: what it holds is no longer open. How much that was."""
        closed = 0
        for where, values in self._open.items():
            value = tuple(row[p] for p in where)
            if value in values:
                values.remove(value)
                closed += 1
        return closed

    def reopen(self, row: Row, still: Coverage) -> None:
        """What the row holds and `still` has open is open here, too: closing it was too early."""
        for where, values in self._open.items():
            value = tuple(row[p] for p in where)
            if value in still._open[where]:
                values.add(value)

    def forbid(self, combination: Combination) -> None:
        """No further row holds this, and nothing that has it in it is open."""
        if not combination:
            return
        self._forbidden.append(combination)
        for setting in combination:
            self._by_setting.setdefault(setting, []).append(combination)
        fixed = dict(combination)
        for where, values in self._open.items():
            if fixed.keys() <= set(where):
                values -= {v for v in values if all(v[where.index(p)] == c for p, c in fixed.items())}

    def next(self) -> Row | None:
        """A row that closes many open combinations; None when there is none left. Closes nothing by itself.

        An open combination that only rows with something forbidden hold is found out here, and dropped."""
        while True:
            where = max(self._open, key=lambda w: len(self._open[w]), default=None)
            if where is None or not self._open[where]:
                return None
            best: Row | None = None
            best_gain = 0
            for _ in range(CANDIDATES):
                seed = self._random.choice(sorted(self._open[where]))
                row = self._row(dict(zip(where, seed, strict=True)))
                if row is None:
                    self._open[where].discard(seed)
                    self.total -= 1
                    break
                gain = self.gain(row)
                if gain > best_gain:
                    best, best_gain = row, gain
            if best is not None:
                return best

    def gain(self, row: Row) -> int:
        """How many open combinations a row holds."""
        return sum(tuple(row[p] for p in where) in values for where, values in self._open.items())

    def allowed(self, fixed: dict[int, int], setting: Setting) -> bool:
        """Nothing forbidden is complete when `setting` is added."""
        return not any(
            all((p, c) == setting or fixed.get(p) == c for p, c in combination)
            for combination in self._by_setting.get(setting, ())
        )

    def _row(self, fixed: dict[int, int]) -> Row | None:
        """A row with `fixed` in it, the rest chosen greedily; None when there is none."""
        settings = list(fixed.items())
        if not all(self.allowed(dict(settings[:n]), s) for n, s in enumerate(settings)):
            return None
        order = [p for p in range(len(self.sizes)) if p not in fixed]
        self._random.shuffle(order)
        chosen = dict(fixed)
        for parameter in order:
            choice = self._best(chosen, parameter)
            if choice is None:
                return self._any_row(fixed)
            chosen[parameter] = choice
        return tuple(chosen[p] for p in range(len(self.sizes)))

    def _best(self, chosen: dict[int, int], parameter: int) -> int | None:
        possible = [c for c in range(self.sizes[parameter]) if self.allowed(chosen, (parameter, c))]
        if not possible:
            return None
        gains = dict.fromkeys(possible, 0)
        for others in combinations(sorted(chosen), self.strength - 1):
            where = tuple(sorted((*others, parameter)))
            values = self._open[where]
            if not values:
                continue
            at = where.index(parameter)
            head, tail = tuple(chosen[p] for p in where[:at]), tuple(chosen[p] for p in where[at + 1 :])
            for choice in possible:
                gains[choice] += (*head, choice, *tail) in values
        most = max(gains.values())
        return self._random.choice([c for c in possible if gains[c] == most])

    def _any_row(self, fixed: dict[int, int]) -> Row | None:
        """Any row with `fixed` in it, by trying: the greedy one has met a dead end."""
        order = [p for p in range(len(self.sizes)) if p not in fixed]
        chosen, tried, steps = dict(fixed), [-1] * len(order), 0
        depth = 0
        while 0 <= depth < len(order):
            steps += 1
            if steps > STEPS:
                return None
            parameter = order[depth]
            chosen.pop(parameter, None)
            tried[depth] += 1
            if tried[depth] >= self.sizes[parameter]:
                tried[depth] = -1
                depth -= 1
                continue
            if self.allowed(chosen, (parameter, tried[depth])):
                chosen[parameter] = tried[depth]
                depth += 1
        return None if depth < 0 else tuple(chosen[p] for p in range(len(self.sizes)))


def covering_array(
    sizes: Sequence[int], strength: int, *, forbidden: Iterable[Combination] = (), seed: int = 0
) -> tuple[Row, ...]:
    """Rows that hold every combination of `strength` choices that any row without something forbidden holds."""
    coverage = Coverage(sizes, strength, forbidden=forbidden, seed=seed)
    rows = []
    while (row := coverage.next()) is not None:
        coverage.close(row)
        rows.append(row)
    return tuple(rows)


def one_at_a_time(sizes: Sequence[int]) -> tuple[Row, ...]:
    """The base with one setting changed, for each setting that there is."""
    base = [0] * len(sizes)
    return tuple((*base[:p], choice, *base[p + 1 :]) for p, size in enumerate(sizes) for choice in range(1, size))


def random_rows(sizes: Sequence[int], seed: int = 0) -> Iterator[Row]:
    """Rows by chance, for ever; each choice as likely as any other of its parameter."""
    random = Random(seed)  # no cryptography
    while True:
        yield tuple(random.randrange(size) for size in sizes)
