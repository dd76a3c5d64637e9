"""Bad hosts and links by group testing: whatever is bad is found, and nobody else is called so, also where measurements err."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commcheck.cluster import blame, group_testing
from commcheck.cluster.group_testing import isolate

ROOT = Path(__file__).parents[2]


class Faulty:
    """A made-up cluster. `errs`: the share of links that fail in a test for no reason; `hides`: of faults that do not show."""

    def __init__(self, bad=(), links=(), *, errs=0.0, hides=0.0, luck=None, apart=()):
        self.bad, self.links = set(bad), {tuple(sorted(k)) for k in links}
        self.errs, self.hides, self.luck = errs, hides, luck
        self.apart = set(apart)
        self.seen = Counter()

    def ask(self, tests):
        assert tests
        hosts = [h for test in tests for group in test for h in group]
        assert len(hosts) == len(set(hosts)), "a host is in two tests of a round"
        return [[k for k in self.of(a, b) if self.fails(k)] for a, b in tests]

    def of(self, a, b):
        found = [(min(x, y), max(x, y)) for x in a for y in b]
        self.seen.update(found)
        return found

    def fails(self, link):
        a, b = link
        if self.bad & {a, b} or link in self.links or (a in self.apart) != (b in self.apart):
            return not self.hides or self.luck.random() >= self.hides
        return bool(self.errs) and self.luck.random() < self.errs


def some_links(luck, good, count):
    return {tuple(sorted(luck.sample(good, 2))) for _ in range(count)}


@settings(max_examples=60)
@given(st.integers(2, 120), st.data())
def test_bad_hosts_are_all_found_and_nobody_else(hosts, data):
    bad = data.draw(st.sets(st.integers(0, hosts - 1), max_size=(hosts - 1) // 6))
    found = isolate(hosts, Faulty(bad).ask)
    assert (set(found.hosts), found.links, found.unsure) == (bad, (), ())


@settings(max_examples=30)
@given(st.integers(130, 400), st.integers(0, 10**6))
def test_any_bad_hosts_and_links_are_found_and_none_is_accused(hosts, seed):
    luck = Random(seed)
    bad = set(luck.sample(range(hosts), luck.choice([0, 0, 1, 2, 5, hosts // 20])))
    good = sorted(set(range(hosts)) - bad)
    links = some_links(luck, good, luck.choice([0, 0, 1, 2, 5, hosts // 10]))
    cluster = Faulty(bad, links)
    found = isolate(hosts, cluster.ask)
    assert (set(found.hosts), set(found.links)) == (bad, links)
    assert (found.unsure, found.unconfirmed) == ((), ())
    used = {k for k in cluster.seen if not bad & set(k)}
    assert len(used) == len(good) * (len(good) - 1) // 2, "every link between good hosts was part of a test"
    assert found.rounds <= 32
    met = Counter(h for k in cluster.seen for h in k if h in bad)
    most = 2 * group_testing.PAIRS + group_testing.MOST_TRIALS
    assert max(met.values(), default=0) <= most, "bad hosts are left alone once they are known"


@pytest.mark.parametrize("seed", range(60))
def test_measurements_that_err_accuse_nobody_and_hide_few(seed):
    """Of a thousand links one fails for no reason each time, and one fault in ten does not show: by far more than real."""
    luck = Random(seed)
    hosts = luck.randint(130, 400)
    bad = set(luck.sample(range(hosts), luck.randint(0, 5)))
    links = some_links(luck, sorted(set(range(hosts)) - bad), luck.randint(0, 5))
    found = isolate(hosts, Faulty(bad, links, errs=0.001, hides=0.1, luck=luck).ask)
    assert set(found.hosts) <= bad
    assert bad <= set(found.hosts) | set(found.unsure)
    assert len(set(found.links) - links) <= 1, "twice by chance"
    assert len(links - set(found.links)) <= 3


@settings(max_examples=25)
@given(st.integers(130, 400), st.integers(0, 10**6), st.integers(9, 40))
def test_a_good_host_with_many_bad_links_is_not_called_bad(hosts, seed, many):
    luck = Random(seed)
    one, *others = luck.sample(range(hosts), many + 1)
    links = {tuple(sorted((one, other))) for other in others}
    found = isolate(hosts, Faulty((), links).ask)
    assert set(found.hosts) | set(found.unsure) <= {one}
    if not found.unsure and not found.hosts:
        assert set(found.links) <= links
        assert set(found.links) | set(found.unconfirmed) == links


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("part", [0.02, 0.1, 0.2, 0.3, 0.5])
def test_a_network_that_has_come_apart_ends_in_few_rounds_and_the_larger_part_is_not_to_blame(part, seed):
    apart = Random(seed).sample(range(300), int(part * 300)) if seed else range(int(part * 300))
    cluster = Faulty(apart=apart)
    found = isolate(300, cluster.ask)
    assert found.rounds <= 32
    assert set(found.hosts) <= set(apart)
    worked = {d for a, b in cluster.seen if (a in apart) == (b in apart) for d in ((a, b), (b, a))}
    large = sorted(map(len, blame.groups(worked, range(300))))[-2:]
    assert large[1] == 300 - len(apart)
    assert large[0] >= 0.9 * len(apart), "nearly all who are cut off together have met"


@settings(max_examples=60)
@given(st.integers(2, 120), st.data())
def test_however_many_are_bad_no_good_one_is_called_so(hosts, data):
    bad = data.draw(st.sets(st.integers(0, hosts - 1)))
    found = isolate(hosts, Faulty(bad).ask)
    assert set(found.hosts) <= bad <= set(found.hosts) | set(found.unsure)
    assert found.links == ()


def test_where_all_fails_nobody_is_called_bad():
    found = isolate(200, Faulty(range(200)).ask)
    assert (found.hosts, found.links, found.unsure) == ((), (), tuple(range(200)))
    assert isolate(1, Faulty().ask).rounds == isolate(0, Faulty().ask).rounds == 0


def test_ten_thousand_hosts_take_few_rounds():
    simulated = _benchmark()
    luck = [simulated.one((10_000, 10, 10, seed)) for seed in range(3)]
    assert {(r.missed, r.accused) for r in luck} == {(0, 0)}
    assert max(r.rounds for r in luck) <= 24


def _benchmark():
    spec = importlib.util.spec_from_file_location("group_testing_benchmark", ROOT / "benchmarks" / "group_testing.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
