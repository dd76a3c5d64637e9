"""Which numbers of a cluster moved beyond what differs from run to run anyway. Pure.

A number counts as moved when it did so by more than a fifth, by more than six times the usual difference between two runs (a
robust measure over all hosts or links), and by half as much again as it ever did before. What all do alike is no movement of
one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import median

from commcheck.cluster import summary
from commcheck.cluster.heat import LARGEST, SMALLEST, Matrix
from commcheck.model.cluster import ClusterReport

Values = dict[str, float]
"""By host."""
Line = Sequence[float | None]

LEAST = math.log2(1.2)
"""Doublings below which nobody cares."""
SIGMAS = 6.0
"""Usual differences from which a change is one: among a million links, chance alone stays below."""
BEYOND = 1.5
"""Times the largest movement that the same host or link has shown before."""
_SIGMA_OF_MAD = 1.4826
_FEW = 10.0


def changed(old: Sequence[Values], new: Values, least: float = 0.0) -> tuple[dict[str, tuple[float, float]], float]:
    """What moved beyond its noise, with its usual value before and its value now; and by how many doublings all moved.
    `least`: the usual difference between two runs is at least this."""
    history: dict[str, list[float]] = {}
    for values in old:
        for name, value in values.items():
            if name in new:
                history.setdefault(name, []).append(math.log2(value))
    if not history:
        return {}, 0.0
    moved = {name: math.log2(new[name]) - median(seen) for name, seen in history.items()}
    # Of few there is no saying what is usual: one host of two that got slower would be its own yardstick.
    shift = median(moved.values()) if len(history) >= _ENOUGH else min(moved.values(), key=abs)
    if len(history) == 1:
        shift = 0.0
    noise = max(least, _noise(list(history.values()), list(moved.values())))
    found = {}
    for name, seen in history.items():
        middle = median(seen)
        if abs(moved[name] - shift) > max(LEAST, SIGMAS * noise, BEYOND * max(abs(s - middle) for s in seen)):
            found[name] = (2**middle, new[name])
    return found, shift


def restless(old: Sequence[Values]) -> float:
    """By how many doublings all may move together: what the medians of the runs did before, and a fifth."""
    middles = [math.log2(median(values.values())) for values in old if values]
    if not middles:
        return LEAST
    usual = median(middles)
    few = SIGMAS * _noise([middles], ()) if min(map(len, old)) < _ENOUGH else 0.0
    return max(LEAST, few, BEYOND * max(abs(m - usual) for m in middles))


_ENOUGH = 4


def changed_links(
    old: Sequence[ClusterReport], new: ClusterReport, of: Callable[[ClusterReport], Matrix], shift: float
) -> Iterator[tuple[int, int, float, float]]:
    """The links that moved beyond their noise: source, target, usual value before, value now."""
    aligned = _Aligned(old, new, of)
    limit = max(LEAST, SIGMAS * _noise(*aligned.sample()))
    low, high = 2 ** (shift - limit), 2 ** (shift + limit)
    for a, b, now, seen in aligned.links():
        before = seen[0] if len(seen) == 1 else median(seen)
        if low <= now / before <= high:  # nearly all
            continue
        own = max(abs(math.log2(s / before)) for s in seen)
        if abs(math.log2(now / before) - shift) > BEYOND * own:
            yield a, b, before, now


def noise_of_few(old: Sequence[ClusterReport], new: ClusterReport, of: Callable[[ClusterReport], Matrix]) -> float:
    """Of few hosts that were seen once, the links tell more of the noise than the hosts do; else 0."""
    if len(old) > 1 or len(new.hosts) > _FEW:
        return 0.0
    return _noise(*_Aligned(old, new, of).sample())


_SAMPLE = 20_000
"""Links, about, whose noise stands for that of all."""


class _Aligned:
    """The links of a report with what they were in earlier ones, whose hosts may be others or in another order."""

    def __init__(self, old: Sequence[ClusterReport], new: ClusterReport, of: Callable[[ClusterReport], Matrix]) -> None:
        self._new = of(new)
        self._old: list[tuple[Matrix, list[int | None]]] = []
        for report in old:
            matrix = of(report)
            places = {h.name: n for n, h in enumerate(report.hosts[: len(matrix)])}
            self._old.append((matrix, [places.get(h.name) for h in new.hosts]))

    def links(self, every: int = 1) -> Iterator[tuple[int, int, float, list[float]]]:
        """Each link that was measured now and before, or one of so many."""
        for a, row in enumerate(self._new):
            before = [(matrix[at], places) for matrix, places in self._old if (at := places[a]) is not None]
            if not before:
                continue
            for b in range((-a) % every, len(row), every):
                now = row[b]
                if now is None or not SMALLEST < now < LARGEST:
                    continue
                seen = [
                    v
                    for line, places in before
                    if (c := places[b]) is not None and (v := line[c]) and SMALLEST < v < LARGEST
                ]
                if seen:
                    yield a, b, now, seen

    def sample(self) -> tuple[list[list[float]], list[float]]:
        """Of so many links as say enough: the doublings of what they were, and by how many they moved."""
        history, moved = [], []
        for _, _, now, seen in self.links(max(1, len(self._new) ** 2 // _SAMPLE)):
            logs = [math.log2(s) for s in seen]
            history.append(logs)
            moved.append(math.log2(now) - median(logs))
        return history, moved


def _noise(history: Sequence[Sequence[float]], moved: Sequence[float]) -> float:
    """The usual difference between two runs: from the history where it has two, else from what moved now."""
    usual = [b - a for seen in history for a, b in pairwise(seen)]
    if not usual:
        usual = list(moved) if len(moved) >= _ENOUGH else []
    if not usual:
        return 0.0
    middle = median(usual)
    # Of few values the measure itself is a matter of luck.
    return _SIGMA_OF_MAD * median(abs(v - middle) for v in usual) * (1 + _FEW / len(usual))


def of_hosts(report: ClusterReport, matrix: Matrix) -> Values:
    """Per host its median over all its links."""
    found = summary.middles(matrix, len(report.hosts))
    return {h.name: v for h, v in zip(report.hosts, found, strict=True) if v is not None}
