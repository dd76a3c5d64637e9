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
    if len(left) == len(set(tried)):
        return Blamed(hosts={}, links=tuple(sorted(left)))
    while left:
        best, score = None, (0.0, 0)
        known = [d for d in tried if not set(d) & hosts.keys()]
        for host in sorted({h for d in left for h in d}):
            bad = {_other(d, host) for d in left if host in d}
            all_of_it = {_other(d, host) for d in known if host in d}
            share = len(bad) / len(all_of_it)
            if len(bad) >= max(AT_LEAST, math.ceil(SHARE * len(all_of_it))) and (share, len(bad)) > score:
                best, score = host, (share, len(bad))
        if best is None:
            break
        hosts[best] = _side(best, left, known)
        left = {d for d in left if best not in d}
    return Blamed(hosts=hosts, links=tuple(sorted(left)))


def _other(direction: Pair, host: int) -> int:
    return direction[0] if direction[1] == host else direction[1]


def _side(host: int, failing: Collection[Pair], tried: Collection[Pair]) -> str:
    def share(end: int) -> float | None:
        every = [d for d in tried if d[end] == host]
        return sum(d in failing for d in every) / len(every) if every else None

    out, into = share(0), share(1)
    if out is not None and into is not None:
        if out >= SHARE and into <= MIXED:
            return "out"
        if into >= SHARE and out <= MIXED:
            return "in"
    return "both"


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
