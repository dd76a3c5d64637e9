"""Group testing among real hosts: which links of a test have failed, by what its hosts have seen. Pure, but for the two
functions that it is given: they tell the hosts what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from commcheck.cluster.group_testing import Isolated, Test, isolate
from commcheck.cluster.reach import letter
from commcheck.cluster.rounds import Pair, Round
from commcheck.cluster.speed import bad_links, far_slower
from commcheck.cluster.values import Measured, Reached
from commcheck.model.cluster import Reach

Met = Mapping[int, Sequence[Reached]]
Meet = Callable[[Sequence[Test]], Met]
"""All hosts of the one group of a test try all of the other, and the other way round. By host, what came of it."""
TimePairs = Callable[[Sequence[Pair], Met], tuple[Round, Sequence[Measured]]]
"""Links that nobody else's share a host with are timed, as far as they can be by what their hosts have seen: which, and how."""


class Search:
    """`ranks`: of the hosts; `below`: Gbit/s from which no link is slow. What was seen is kept: `reached`, `quiet`, and the rounds of links that were timed."""

    def __init__(self, ranks: Sequence[int], meet: Meet, time: TimePairs, below: float) -> None:
        self._ranks, self._meet, self._time, self._below = ranks, meet, time, below
        self._place = {rank: place for place, rank in enumerate(ranks)}
        self._reached: dict[int, dict[int, Reached]] = {}
        self.quiet: list[Measured] = []
        self.timed: list[Round] = []

    def isolated(self) -> Isolated:
        """Measure; which hosts and links are bad, by rank."""
        found = isolate(len(self._ranks), self._ask)
        return Isolated(
            hosts=self._named(found.hosts),
            links=tuple((self._ranks[a], self._ranks[b]) for a, b in found.links),
            unsure=self._named(found.unsure),
            unconfirmed=tuple((self._ranks[a], self._ranks[b]) for a, b in found.unconfirmed),
            rounds=found.rounds,
            tests=found.tests,
        )

    @property
    def reached(self) -> dict[int, tuple[Reached, ...]]:
        """By host, what came of all that it tried: the last try of each."""
        return {rank: tuple(found.values()) for rank, found in sorted(self._reached.items())}

    def _named(self, places: Sequence[int]) -> tuple[int, ...]:
        return tuple(self._ranks[place] for place in places)

    def _ask(self, tests: Sequence[Test]) -> list[Collection[Pair]]:
        named = [(self._named(a), self._named(b)) for a, b in tests]
        met = self._meet(named)
        self._keep(met)
        bad = _unreached(named, met) | far_slower(_moved(met), self._below)
        pairs = [(a[0], b[0]) for a, b in named if len(a) == len(b) == 1]
        if pairs:
            one, measured = self._time(pairs, met)
            self.timed.append(one)
            self.quiet += measured
            known = bad_links(self.quiet, self._below)
            bad |= {p for p in pairs if frozenset(p) in known}
        where = {host: number for number, test in enumerate(named) for group in test for host in group}
        failing: list[set[Pair]] = [set() for _ in tests]
        for direction in bad:
            a, b = sorted(self._place[end] for end in direction)
            failing[where[direction[0]]].add((a, b))
        return list(failing)

    def _keep(self, met: Met) -> None:
        for rank, found in met.items():
            self._reached.setdefault(rank, {}).update((one.rank, one) for one in found)


def _unreached(tests: Sequence[Test], met: Met) -> set[Pair]:
    """Directions that do not work, or of which their host has said nothing. Names are not asked for here."""
    bad: set[Pair] = set()
    for a, b in tests:
        for own, others in ((a, b), (b, a)):
            for host in own:
                fine = {r.rank for r in met.get(host, ()) if letter(r, None) is Reach.OK}
                bad |= {(host, other) for other in others if other not in fine}
    return bad


def _moved(met: Met) -> dict[Pair, float]:
    return {(rank, r.rank): r.gbit for rank, found in met.items() for r in found if r.gbit is not None}
