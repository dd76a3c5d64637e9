"""Bad hosts and links of a big cluster, isolated by group testing: `python benchmarks/group_testing.py [--hosts N] [--runs N]`.

For each number of faults so many random clusters. Printed: the rounds that `commcheck.cluster.group_testing` takes, what it
missed and whom it accused wrongly (exit code 1 when there is any), beside the two common ways:

  two rounds   neighbours in pairs, then each host that failed with one that passed: what elastic launchers do
  all pairs    every host with every other, one pair per host at a time

A round is what all hosts do between two times that they wait for each other. A group's test takes longer than a pair's: each
of its hosts talks to every host of the other group. `steps` counts that: the sum of the sizes of each round's largest group,
which is the time if hosts talk to one other at a time. No method can use all links in fewer such steps than all pairs take.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from statistics import mean
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from commcheck.cluster.group_testing import Test, isolate  # noqa: E402
from commcheck.cluster.rounds import Pair  # noqa: E402

CASES = ((1, 0), (0, 1), (1, 1), (5, 5), (10, 10), (25, 25), (50, 0), (0, 50), (50, 50))
"""Bad hosts, bad links."""


class Cluster:
    """A made-up cluster, and what a round of tests would show on it."""

    def __init__(self, count: int, hosts: int, links: int, luck: Random) -> None:
        self.bad = frozenset(luck.sample(range(count), hosts))
        good = [h for h in range(count) if h not in self.bad]
        found: set[tuple[int, int]] = set()
        while len(found) < links:
            a, b = luck.sample(good, 2)
            found.add((min(a, b), max(a, b)))
        self.links = frozenset(found)
        self.faulty = self.bad | {h for link in found for h in link}
        self.steps = 0

    def ask(self, tests: Sequence[Test]) -> list[list[Pair]]:
        """For each test, the links that fail. Only hosts with a fault are looked for: the others change nothing."""
        self.steps += max(max(len(a), len(b)) for a, b in tests)
        where = {
            host: (number, side)
            for number, test in enumerate(tests)
            for side, group in enumerate(test)
            for host in self.faulty.intersection(group)
        }
        failing: list[set[Pair]] = [set() for _ in tests]
        for host in self.bad & where.keys():
            number, side = where[host]
            failing[number] |= {(min(host, other), max(host, other)) for other in tests[number][1 - side]}
        for a, b in self.links:
            if a in where and b in where and where[a] == (where[b][0], 1 - where[b][1]):
                failing[where[a][0]].add((a, b))
        return [sorted(one) for one in failing]


class Run(NamedTuple):
    """One cluster: group testing, then what two rounds of pairs miss."""

    rounds: int
    steps: int
    missed: int
    accused: int
    pairs_missed: int


def two_rounds(count: int, cluster: Cluster) -> set[int]:
    """The hosts that fail twice, and links that two good hosts are known to fail on: none."""
    first = [((h,), (h + 1,)) for h in range(0, count - 1, 2)]
    failed, passed = [], []
    for (a, b), failing in zip(first, cluster.ask(first), strict=True):
        (failed if failing else passed).extend((*a, *b))
    second = [((h,), (w,)) for h, w in zip(failed, passed, strict=False)]
    return {t[0][0] for t, failing in zip(second, cluster.ask(second) if second else [], strict=True) if failing}


def one(job: tuple[int, int, int, int]) -> Run:
    count, hosts, links, seed = job
    cluster = Cluster(count, hosts, links, Random(seed))
    found = isolate(count, cluster.ask)
    missed = len(cluster.bad - set(found.hosts)) + len(cluster.links - set(found.links))
    accused = len(set(found.hosts) - cluster.bad) + len(set(found.links) - cluster.links)
    steps = cluster.steps
    by_pairs = two_rounds(count, cluster)
    return Run(found.rounds, steps, missed, accused, len(cluster.bad - by_pairs) + links)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    print(f"{args.hosts} hosts, {args.runs} runs each; all pairs: {args.hosts - 1} rounds, two rounds: 2")
    print(
        "bad: hosts links | rounds: mean  most | steps: mean | missed | accused wrongly | missed by two rounds | seconds"
    )
    wrong = 0
    with ProcessPoolExecutor(args.jobs) as pool:
        for hosts, links in CASES:
            begun = time.monotonic()
            jobs = [(args.hosts, hosts, links, seed) for seed in range(args.runs)]
            runs = list(pool.map(one, jobs, chunksize=10))
            missed, accused = sum(r.missed for r in runs), sum(r.accused for r in runs)
            wrong += missed + accused
            by_pairs = sum(r.pairs_missed for r in runs) / (args.runs * (hosts + links))
            print(
                f"{hosts:10} {links:5} | {mean(r.rounds for r in runs):12.1f} {max(r.rounds for r in runs):5} "
                f"| {mean(r.steps for r in runs):11.0f} | {missed:6} | {accused:15} | {100 * by_pairs:18.1f} % "
                f"| {time.monotonic() - begun:.0f}",
                flush=True,
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
