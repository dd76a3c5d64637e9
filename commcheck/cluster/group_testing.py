"""Bad hosts and bad links of a big cluster in few rounds, where timing every pair would take too long. Pure.

A test is two groups of which every host of the one talks to every host of the other; it tells which of these links failed. The
tests of a round share no host. A measurement can be wrong now and then, so that nothing is believed that failed once. What is
asked for next depends on what came before:

1. Hosts: some rounds of pairs. Who fails is tried with sound hosts that it has not met, until it has failed with several of
   them and with nearly all (it is bad) or has passed with most (it is sound).
2. Links: groups of sound hosts are put together two by two, until there is one: then every link between sound hosts has been
   part of a test. Who fails with many there is tried as in 1 before it goes on.
3. A second look: links that failed are tried again, each host with one other at a time. What fails again is bad.

That needs no number of faults beforehand. Rounds grow with the logarithm of the hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from commcheck.cluster.rounds import Pair, Round, mixed
from commcheck.model.base import Value

Hosts = tuple[int, ...]
Test = tuple[Hosts, Hosts]
Ask = Callable[[Sequence[Test]], Sequence[Collection[Pair]]]
"""Run a round of tests that share no host; for each, those of its links that failed, the smaller number first."""

PAIRS = 4
"""Rounds of pairs before anything is suspected: a fault that shows three times of four is seen."""
WITNESSES = 3
"""Sound hosts with which a suspect has to fail to be called bad: as many bad links of one good host, to just those of hundreds,
are not met by chance."""
SHARE = 0.75
"""Of what a bad host is tried with, what fails: one that loses packets passes now and then."""
SOUND = 2
"""Passes for each failure from which a host is sound."""
MOST = 0.35
"""Of the hosts, those that fail, from which nobody can be a witness: the network has come apart, or all of it is bad."""
MOST_TRIALS = 8
"""Rounds with witnesses: for whom nothing has come out then, nothing will. Hosts behind a split network are such ones."""
MANY = 8
"""Failing links of a sound host from which it is looked at again: few hosts have so many bad links."""
MOST_LOOKS = 8
"""Rounds of second looks: so many failing links of one host are looked at again."""


class Isolated(Value, frozen=True):
    """`unsure`: hosts that fail with some and pass with others, so that neither they nor their links are called bad.
    `unconfirmed`: links that failed once, and for which there was no second look. `rounds`: of tests; `tests`: all of them."""

    hosts: Hosts
    links: tuple[Pair, ...]
    unsure: Hosts
    unconfirmed: tuple[Pair, ...]
    rounds: int
    tests: int


def isolate(count: int, ask: Ask) -> Isolated:
    """The bad ones among hosts 0 to count - 1. Where most fail, nobody can tell who is bad: all meet some more, and are unsure."""
    search = _Search(count, ask)
    search.hosts()
    search.links()
    links, unconfirmed = search.second_look()
    return Isolated(
        hosts=tuple(sorted(search.bad)),
        links=tuple(sorted(links)),
        unsure=tuple(sorted(search.unsure)),
        unconfirmed=tuple(sorted(unconfirmed)),
        rounds=search.rounds,
        tests=search.tests,
    )


def opposite(tests: Sequence[Test], host: int) -> tuple[Hosts, Hosts]:
    """The group of a round's tests in which a host is, and those whom it has to try: each of its group begins with another one."""
    for test in tests:
        for own, others in (test, test[::-1]):
            if host in own:
                begin = own.index(host) % len(others)
                return own, others[begin:] + others[:begin]
    return (), ()


class _Search:
    """What is known so far. By host: how often it passed, with whom it failed, and whom it met as one of a pair."""

    def __init__(self, count: int, ask: Ask) -> None:
        self._count, self._ask = count, ask
        self._pairs = mixed(count, PAIRS)
        self._passed = [0] * count
        self._failed: list[set[int]] = [set() for _ in range(count)]
        self._met: list[set[int]] = [set() for _ in range(count)]
        self._suspicious: dict[Pair, None] = {}
        self.bad: set[int] = set()
        self.unsure: set[int] = set()
        self.rounds = self.tests = 0

    def hosts(self) -> None:
        """Part 1."""
        for one in self._pairs:
            self._run(_singles(one))
        doubtful = {h for h in range(self._count) if not self._is_sound(h, 1)}
        if len(doubtful) > MOST * self._count:
            for one in mixed(self._count, PAIRS + MOST_TRIALS)[PAIRS:]:
                self._run(_singles(one))
            self.unsure = set(range(self._count))
        else:
            self._try(doubtful)

    def links(self) -> None:
        """Part 2. The first pairs are the first groups: their links have been tried. Beside it bad hosts meet each other, which
        tells those that are cut off together from those that are dead."""
        cleared: set[int] = set()
        bad = sorted(self.bad)
        beside = [_singles((bad[a], bad[b]) for a, b in one) for one in mixed(len(bad), PAIRS)]
        groups = self._first_groups()
        while len(groups) > 1:
            groups.sort(key=len)  # a test takes as long as its larger group is large
            pairs = list(zip(groups[::2], groups[1::2], strict=False))
            self._run([*pairs, *(beside.pop() if beside else ())])
            groups = [a + b for a, b in pairs] + groups[len(pairs) * 2 :]
            doubtful = {h for g in groups for h in g if len(self._failed[h] - self.bad) >= MANY} - cleared
            if doubtful:
                self._try(set(doubtful))
                cleared |= doubtful
                out = self.bad | self.unsure
                groups = [left for g in groups if (left := tuple(h for h in g if h not in out))]

    def second_look(self) -> tuple[set[Pair], set[Pair]]:
        """Part 3: links that failed again, and those that were not looked at again."""
        out = self.bad | self.unsure
        left = [k for k in self._suspicious if not out & set(k)]
        found: set[Pair] = set()
        for _ in range(MOST_LOOKS):
            one, left = _disjoint(left)
            found |= {k for failing in self._run(_singles(one)) for k in failing}
        return found, set(left)

    def _run(self, tests: Sequence[Test]) -> list[Collection[Pair]]:
        """One round; none where there is nothing to ask."""
        if not tests:
            return []
        self.rounds += 1
        self.tests += len(tests)
        found = list(self._ask(tests))
        for (a, b), failing in zip(tests, found, strict=True):
            for own, other in ((a, b), (b, a)):
                for host in own:
                    self._passed[host] += len(other)
            if len(a) == len(b) == 1:
                self._met[a[0]].add(b[0])
                self._met[b[0]].add(a[0])
            for x, y in failing:
                self._passed[x] -= 1
                self._passed[y] -= 1
                self._failed[x].add(y)
                self._failed[y].add(x)
                self._suspicious[x, y] = None
        return found

    def _is_sound(self, host: int, least: int) -> bool:
        """It passes so often at least, and far more often than it fails, not counting hosts with whom nobody passes."""
        failed = sum(1 for other in self._failed[host] - self.bad if self._passed[other])
        return self._passed[host] >= max(least, SOUND * failed)

    def _try(self, doubtful: set[int]) -> None:
        """With sound ones, until each of these is bad or sound, or has been tried often enough. Nothing that they did before
        counts: with whom they failed may have been bad itself, or busy."""
        for host in doubtful:
            self._passed[host], self._failed[host] = 0, set()
        for _ in range(MOST_TRIALS):
            sound = [h for h in range(self._count) if h not in doubtful and h not in self.bad and h not in self.unsure]
            if not doubtful or not sound:
                break
            self._run(_singles(self._with_witnesses(sorted(doubtful), sound)))
            bad = {h for h in doubtful if self._fails(h, set(sound))}
            self.bad |= bad
            doubtful -= bad
            doubtful -= {h for h in doubtful if self._is_sound(h, SOUND)}
        self.unsure |= doubtful

    def _fails(self, host: int, sound: set[int]) -> bool:
        failed = len(self._failed[host] & sound)
        return failed >= min(WITNESSES, len(sound)) and failed >= SHARE * (self._passed[host] + failed)

    def _with_witnesses(self, doubtful: Iterable[int], sound: Sequence[int]) -> Round:
        """A witness for each, as far as there are any: none serves two at once, and one that it has not met comes first,
        then one with whom it has not failed."""
        free, found = list(reversed(sound)), []
        for host in doubtful:
            if not free:
                break
            known = (self._met[host] | self._failed[host], self._failed[host])
            fresh = (k for these in known for k, witness in enumerate(free) if witness not in these)
            found.append((host, free.pop(next(fresh, 0))))
        return tuple(found)

    def _first_groups(self) -> list[Hosts]:
        out = self.bad | self.unsure
        pairs = [p for p in self._pairs[0] if not out & set(p)] if self._pairs else []
        paired = {h for p in pairs for h in p}
        return [*pairs, *((h,) for h in range(self._count) if h not in paired and h not in out)]


def _singles(pairs: Iterable[Pair]) -> list[Test]:
    return [((a,), (b,)) for a, b in pairs]


def _disjoint(links: Iterable[Pair]) -> tuple[Round, list[Pair]]:
    """As many of these links as share no host, and the rest."""
    busy: set[int] = set()
    now, later = list[Pair](), list[Pair]()
    for link in links:
        if busy & set(link):
            later.append(link)
        else:
            now.append(link)
            busy |= set(link)
    return tuple(now), later
