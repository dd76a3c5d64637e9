"""Rounds of disjoint pairs: in each, every host talks to one other, so that no two tests share a host's cable. Pure."""

from __future__ import annotations

from random import Random

Pair = tuple[int, int]
Round = tuple[Pair, ...]


def count(hosts: int) -> int:
    """Rounds in which every host meets every other once: one less than hosts; as many, where their number is odd and one
    rests in each."""
    return hosts - 1 + hosts % 2 if hosts > 1 else 0


def nth(hosts: int, number: int) -> Round:
    """Round `number` (from 0) of `count(hosts)`, each pair with the smaller number first.

    The circle method: one place stands, the others move on by one each round, and those who face each other meet."""
    places = hosts + hosts % 2
    turn = places - 1
    pairs = [(number % turn, places - 1)] if places else []
    pairs += [((number + k) % turn, (number - k) % turn) for k in range(1, places // 2)]
    return tuple(sorted((min(p), max(p)) for p in pairs if max(p) < hosts))


def rounds(hosts: int, most: int | None = None) -> tuple[Round, ...]:
    """All rounds, or `most` of them, spread evenly: then each host meets as many others, and no pair twice."""
    total = count(hosts)
    wanted = total if most is None else min(most, total)
    return tuple(nth(hosts, number * total // wanted) for number in range(wanted))


def mixed(hosts: int, most: int) -> tuple[Round, ...]:
    """`most` rounds at irregular distances, always the same ones: whom the others of one's others meet are soon all hosts,
    which those of evenly spread rounds are not. The second follows the first, so that two link all hosts."""
    numbers = list(range(count(hosts)))
    Random(hosts).shuffle(numbers)
    if len(numbers) > 2:
        numbers.insert(1, numbers.pop(numbers.index((numbers[0] + 1) % len(numbers))))
    return tuple(nth(hosts, number) for number in numbers[:most])


def waves(one: Round, at_once: int) -> tuple[Round, ...]:
    """A round in parts of at most `at_once` pairs."""
    return tuple(one[begin : begin + at_once] for begin in range(0, len(one), at_once))
