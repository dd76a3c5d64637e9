"""Whether a host is bad or only a link: from which directions between hosts show a fault, and which do not. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from commcheck.cluster.rounds import Pair
from commcheck.model.base import Value

SHARE = 0.75
"""Of a host's links that show the fault, so that it is the host's: two bad links of one host among many are two bad links."""
AT_LEAST = 2
"""Links from which a host can be told from a link: with one, either end may be it."""
MIXED = 0.25
"""Of the links in one direction that may show the fault, where it is called the other direction's."""


class Blamed(Value, frozen=True):
    """`hosts`: with the side on which the fault shows: "in", "out" or "both". `links`: what they do not explain."""

    hosts: dict[int, str]
    links: tuple[Pair, ...]

    def of(self, host: int, failing: Iterable[Pair]) -> tuple[Pair, ...]:
        """The failing directions that this host explains."""
        return tuple(sorted(d for d in failing if host in d))


def blame(failing: Collection[Pair], tried: Collection[Pair]) -> Blamed:
    """The fewest hosts that explain the most, the plainest first; what they explain counts for nobody else.

    Where every direction fails, no host is worse than another, and the links are given."""
    left, hosts = set(failing), dict[int, str]()
    if not left or len(left) == len(set(tried)):
        return Blamed(hosts={}, links=tuple(sorted(left)))
    ends = {h for d in left for h in d}
    theirs = [d for d in tried if d[0] in ends or d[1] in ends]  # the others of a thousand hosts are not to blame
    bad, every = _partners(left), _partners(theirs)
    known = _Shares(left, theirs)
    while bad:
        guilty = [h for h in bad if len(bad[h]) >= max(AT_LEAST, math.ceil(SHARE * len(every[h])))]
        if not guilty:
            break
        best = max(guilty, key=lambda h: (len(bad[h]) / len(every[h]), len(bad[h]), -h))
        hosts[best] = known.side(best)
        for partners in (bad, every):
            for other in partners.pop(best):
                partners[other].discard(best)
        known.without(best)
        bad = {h: partners for h, partners in bad.items() if partners}
    return Blamed(hosts=hosts, links=tuple(sorted(d for d in left if not set(d) & hosts.keys())))


def _partners(directions: Iterable[Pair]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for a, b in directions:
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    return found


class _Shares:
    """Of a host's directions, out of it and into it, those that fail."""

    def __init__(self, failing: Collection[Pair], tried: Collection[Pair]) -> None:
        self._tables = [[_by_end(directions, end) for end in (0, 1)] for directions in (failing, tried)]

    def side(self, host: int) -> str:
        """On which the host fails."""
        (bad_out, bad_in), (all_out, all_in) = ([t.get(host, set()) for t in pair] for pair in self._tables)
        if all_out and all_in:
            out, into = len(bad_out) / len(all_out), len(bad_in) / len(all_in)
            if out >= SHARE and into <= MIXED:
                return "out"
            if into >= SHARE and out <= MIXED:
                return "in"
        return "both"

    def without(self, host: int) -> None:
        """What that host explains counts for nobody else."""
        for pair in self._tables:
            for table, opposite in (pair, pair[::-1]):
                for other in table.pop(host, set()):
                    opposite.get(other, set()).discard(host)


def _by_end(directions: Iterable[Pair], end: int) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for direction in directions:
        found.setdefault(direction[end], set()).add(direction[1 - end])
    return found


def groups(good: Collection[Pair], hosts: Collection[int]) -> list[tuple[int, ...]]:
    """Hosts that reach each other, directly or over others, in both directions of each step."""
    both = {d for d in good if (d[1], d[0]) in good}
    left, found = set(hosts), []
    beside: dict[int, set[int]] = {h: set() for h in hosts}
    for a, b in both:
        if a in beside and b in beside:
            beside[a].add(b)
    while left:
        group, edge = set(), [min(left)]
        while edge:
            one = edge.pop()
            if one not in group:
                group.add(one)
                edge += beside[one] - group
        left -= group
        found.append(tuple(sorted(group)))
    return found
