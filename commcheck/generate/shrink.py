"""From a row that fails to the fewest settings that still fail. Pure: a generator that asks for worlds.

Two ways, one after the other. First the small suspects: each combination of at most `strength` settings of the row that
no working row has held. Each world tells half of them from the other half, so that one of a hundred is found in seven
worlds. If none of them is it, QuickXplain (Junker, AAAI 2004) finds a minimal combination of any size.

A row that does not do the same twice can lead both astray: what they find is to be run again before it is believed."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from itertools import combinations

from commcheck.generate.parameter import Combination, Row, Setting, deviations, row_of

Asking = Generator[Row, bool, Combination]
"""Yields rows to be run, is sent whether each failed, and returns the combination."""


def suspects(row: Row, strength: int, working: Iterable[Row]) -> tuple[Combination, ...]:
    """The combinations of at most `strength` deviations of `row` that are in no working row, smaller ones first."""
    own = sorted(deviations(row))
    shared = [frozenset(s for s in own if other[s[0]] == s[1]) for other in working]
    found: list[Combination] = []
    for size in range(1, strength + 1):
        for combination in map(frozenset, combinations(own, size)):
            if not any(combination <= innocent for innocent in shared) and not any(f <= combination for f in found):
                found.append(combination)
    return tuple(found)


def shrink(row: Row, strength: int, working: Sequence[Row]) -> Asking:
    """The fewest settings of `row` that still fail, with all others as in the base, which works."""
    length = len(row)
    left = suspects(row, strength, working)
    while len(left) > 1:
        chosen = _half(left)
        failed = yield row_of(chosen, length)
        left = tuple(c for c in left if (c <= chosen) is failed)
    if left:
        failed = yield row_of(left[0], length)
        if failed:
            return left[0]
    return (yield from quick_explain(row))


def _half(left: tuple[Combination, ...]) -> Combination:
    """Settings that hold about half of the suspects, and not all: those of the first ones, while they bring no more."""
    chosen: Combination = frozenset()
    for combination in left:
        wider = chosen | combination
        if sum(c <= wider for c in left) > max(1, len(left) // 2):
            if not chosen:
                chosen = wider
            continue
        chosen = wider
    return chosen


def quick_explain(row: Row) -> Asking:
    """A minimal combination of any size, by QuickXplain."""
    length = len(row)

    def explain(background: Combination, changed: bool, candidates: Sequence[Setting]) -> Asking:
        if changed and (yield row_of(background, length)):
            return frozenset()
        if len(candidates) == 1:
            return frozenset(candidates)
        middle = len(candidates) // 2
        first, second = candidates[:middle], candidates[middle:]
        right = yield from explain(background | frozenset(first), bool(first), second)
        left = yield from explain(background | right, bool(right), first)
        return left | right

    own = sorted(deviations(row))
    if not own:
        return frozenset()
    return (yield from explain(frozenset(), False, own))
