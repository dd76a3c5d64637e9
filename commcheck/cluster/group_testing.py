"""Bad hosts and bad links of a big cluster in few rounds, where all pairs would be too many. Pure.

A test is two groups of which every host of the one talks to every host of the other, all at once; it fails if any of these
hosts is bad, or any link between the two groups. The tests of a round share no host. What is asked for next depends on what
came before:

1. Hosts in groups, halved while they fail. What is left of a failing group, one host, is tried with sound ones: a host that
   fails with several of them is bad; one that does not has met a bad link, which the second part finds.
2. Links: groups that are sound inside are put together two by two. Where two fail together, their halves are tried against
   each other, until the bad link is left. So every link between good hosts has been part of a test that passed, or is named.

That needs no number of faults beforehand, and misses none: what passed has been used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from commcheck.model.base import Value

Hosts = tuple[int, ...]
Test = tuple[Hosts, Hosts]
Ask = Callable[[Sequence[Test]], Sequence[bool]]
"""Run a round of tests that share no host; for each, whether all that it used is in order."""

GROUP = 16
"""Hosts of a first group: with one bad host in two hundred, one group in thirteen fails."""
WITNESSES = 3
"""Sound hosts with which a suspect has to fail to be called bad: as many bad links of one good host, to just those of ten
thousand, are not met by chance."""


class Isolated(Value, frozen=True):
    """`rounds`: of tests. `tests`: all of them."""

    hosts: Hosts
    links: tuple[tuple[int, int], ...]
    rounds: int
    tests: int


def isolate(count: int, ask: Ask) -> Isolated:
    """The bad ones among hosts 0 to count - 1. Where not even one host has a sound one to be tried with, all are bad."""
    counting = _Counting(ask)
    bad = _bad_hosts(count, counting)
    good = [h for h in range(count) if h not in bad]
    links = _bad_links(good, counting)
    return Isolated(hosts=tuple(sorted(bad)), links=tuple(sorted(links)), rounds=counting.rounds, tests=counting.tests)


class _Counting:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.rounds = self.tests = 0

    def __call__(self, tests: Sequence[Test]) -> list[bool]:
        """One round; none where there is nothing to ask."""
        if not tests:
            return []
        self.rounds += 1
        self.tests += len(tests)
        return list(self._ask(tests))


# --- hosts ------------------------------------------------------------------------------------------------


def _bad_hosts(count: int, ask: _Counting) -> set[int]:
    failing = [tuple(range(begin, min(begin + GROUP, count))) for begin in range(0, count, GROUP)]
    sound: list[int] = []
    while True:
        wide = [g for g in failing if len(g) > 1]
        singles = [g for g in failing if len(g) == 1]
        passed = ask([_halves(g) for g in wide])
        sound += [h for g, ok in zip(wide, passed, strict=True) if ok for h in g]
        halved = [half for g, ok in zip(wide, passed, strict=True) if not ok for half in _halves(g)]
        failing = singles + halved
        if all(len(g) == 1 for g in failing):
            break
    return _convicted([g[0] for g in failing], sound, ask)


def _halves(group: Hosts) -> Test:
    middle = len(group) // 2
    return group[:middle], group[middle:]


def _convicted(suspects: list[int], sound: list[int], ask: _Counting) -> set[int]:
    """Suspects that fail with every witness. Without enough sound hosts, suspects are each other's witnesses."""
    met: dict[int, set[int]] = {s: set() for s in suspects}
    left = dict.fromkeys(suspects)
    bad: set[int] = set()
    while left:
        asked = _with_witnesses(list(left), sound, met)
        if not asked:
            return bad | left.keys()  # nobody is left who could speak for them
        passed = ask([((s,), (w,)) for s, w in asked])
        for (suspect, witness), ok in zip(asked, passed, strict=True):
            met[suspect].add(witness)
            met.setdefault(witness, set()).add(suspect)
            if ok:
                for one in (suspect, witness):
                    if one in left:
                        del left[one]
                        sound.append(one)
        for suspect in list(left):
            witnesses = met[suspect] & set(sound)
            if len(witnesses) >= min(WITNESSES, len(sound)) and sound:
                bad.add(suspect)
                del left[suspect]
    return bad


def _with_witnesses(suspects: list[int], sound: list[int], met: dict[int, set[int]]) -> list[tuple[int, int]]:
    """A witness for each suspect, as far as there are any: none serves two at once."""
    free, found = list(sound), []
    if not free:
        free = suspects[1::2]
        suspects = [s for s in suspects if s not in set(free)]
    for suspect in suspects:
        at = next((k for k in range(len(free) - 1, -1, -1) if free[k] not in met[suspect]), None)
        if at is not None:
            found.append((suspect, free.pop(at)))
    return found


# --- links ------------------------------------------------------------------------------------------------


def _bad_links(good: list[int], ask: _Counting) -> set[tuple[int, int]]:
    """Groups are put together until there is one; single hosts are sound inside."""
    found: set[tuple[int, int]] = set()
    groups: list[Hosts] = [(h,) for h in good]
    while len(groups) > 1:
        pairs = list(zip(groups[::2], groups[1::2], strict=False))
        passed = ask(pairs)
        found |= _between([p for p, ok in zip(pairs, passed, strict=True) if not ok], ask)
        groups = [a + b for a, b in pairs] + groups[len(pairs) * 2 :]
    return found


def _between(failing: list[Test], ask: _Counting) -> set[tuple[int, int]]:
    """The bad links of tests that failed: their quarters are tried, those that share no host in one round."""
    found: set[tuple[int, int]] = set()
    while failing:
        quarters: list[Test] = []
        for a, b in failing:
            if len(a) == len(b) == 1:
                found.add((min(a[0], b[0]), max(a[0], b[0])))
                continue
            quarters += [(x, y) for x in _parts(a) for y in _parts(b)]
        failing = []
        for tests in _rounds_of(quarters):
            failing += [t for t, ok in zip(tests, ask(tests), strict=True) if not ok]
    return found


def _parts(group: Hosts) -> tuple[Hosts, ...]:
    return _halves(group) if len(group) > 1 else (group,)


def _rounds_of(tests: Iterable[Test]) -> list[list[Test]]:
    """The tests in rounds in which no host is in two of them, each as early as it can be. Groups are either the same or
    share no host, so that their first hosts tell them apart."""
    rounds: list[list[Test]] = []
    busy: list[set[int]] = []
    for a, b in tests:
        ends = {a[0], b[0]}
        at = next((k for k, taken in enumerate(busy) if not ends & taken), len(busy))
        if at == len(busy):
            rounds.append([])
            busy.append(set())
        rounds[at].append((a, b))
        busy[at] |= ends
    return rounds
