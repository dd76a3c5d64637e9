"""The search against worlds that are made up: known faults, a known answer, and a count of their own."""

from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.cli.explore import exit_code
from commcheck.explore.findings import Kind, Observation
from commcheck.explore.region import summary
from commcheck.explore.search import METHODS, WIDTH, Search
from commcheck.generate.config import Config
from commcheck.generate.parameter import Choice, Parameter, Space, holds
from commcheck.model.diagnosis import Verdict
from commcheck.predict.model import Outlook, Prediction

GOOD = Prediction(outlook=Outlook.FORMS, reason="")
HEALTHY = Observation(verdict=Verdict.HEALTHY, prediction=GOOD, formed=True, seconds=0.1)
FAILED = Observation(verdict=Verdict.UNHEALTHY, prediction=GOOD, cause="port-dropped", causes=("port-dropped",))


def space(sizes):
    return Space(
        base=Config(),
        parameters=tuple(
            Parameter(name=f"p{n}", choices=tuple(Choice(name=f"v{m}") for m in range(size)))
            for n, size in enumerate(sizes)
        ),
    )


def run(search, answer, budget=10_000):
    """Drive a search against a function from a row to an observation; the rows in the order in which they were asked."""
    rounds = search.rounds()
    asked, rows = [], next(rounds)
    while True:
        assert 0 < len(rows) <= WIDTH
        if len(asked) + len(rows) > budget:
            return asked
        asked += rows
        try:
            rows = rounds.send([answer(r) for r in rows])
        except StopIteration:
            return asked


def broken_by(faults):
    return lambda row: FAILED if any(holds(row, f) for f in faults) else HEALTHY


@st.composite
def planted(draw):
    sizes = draw(st.lists(st.integers(2, 4), min_size=3, max_size=7))
    setting = st.integers(0, len(sizes) - 1).flatmap(lambda p: st.tuples(st.just(p), st.integers(1, sizes[p] - 1)))
    made = draw(st.lists(st.lists(setting, min_size=1, max_size=2, unique_by=lambda s: s[0]), max_size=4))
    faults = [frozenset(f) for f in made]
    return sizes, [f for f in dict.fromkeys(faults) if not any(o < f for o in faults)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(planted(), st.integers(0, 5))
def test_covering_finds_every_fault_of_up_to_two_settings_and_no_other(made, seed):
    sizes, faults = made
    search = Search(space(sizes), seed=seed)
    run(search, broken_by(faults))
    assert {f.combination for f in search.found} == set(faults)
    assert search.unsure == []
    assert search.coverage.left == 0
    done = summary(search, seconds=0, ended="")
    # Counted anew: a pair works if some row that works has it, and fails if it has a fault in it.
    all_pairs = [
        frozenset({(a, x), (b, y)})
        for a, b in combinations(range(len(sizes)), 2)
        for x, y in product(range(sizes[a]), range(sizes[b]))
    ]
    works = [p for p in all_pairs if any(holds(r, p) for r in search.working)]
    assert done.coverage.work == len(works)
    assert not [p for p in works if any(f <= p for f in faults)]
    assert done.coverage.total == len(all_pairs) == done.coverage.work + done.coverage.fail


@settings(deadline=None)
@given(planted(), st.sampled_from(METHODS), st.integers(0, 3))
def test_the_same_seed_gives_the_same_worlds_and_findings(made, method, seed):
    sizes, faults = made
    searches = [Search(space(sizes), method=method, seed=seed) for _ in range(2)]
    first, again = (run(s, broken_by(faults), 200) for s in searches)
    assert first == again
    assert [f.combination for f in searches[0].found] == [f.combination for f in searches[1].found]


def test_one_at_a_time_finds_no_pair():
    single, pair = frozenset({(0, 1)}), frozenset({(1, 1), (2, 1)})
    search = Search(space([3, 3, 3]), method="one-at-a-time")
    run(search, broken_by([single, pair]))
    assert [f.combination for f in search.found] == [single]


def test_a_base_that_does_not_work_ends_the_search():
    search = Search(space([2, 2]))
    assert run(search, lambda row: FAILED) == [(0, 0)] * 3
    done = summary(search, seconds=0, ended="")
    assert (done.base, done.unsure) == ("unhealthy", ())


def test_a_base_that_works_the_second_time_is_built_upon_and_told():
    answers = iter([FAILED, *[HEALTHY] * 1000])
    search = Search(space([2, 2]))
    assert run(search, lambda row: next(answers))[:2] == [(0, 0)] * 2
    done = summary(search, seconds=0, ended="")
    assert done.base == "healthy"
    assert done.coverage.open == 0
    assert [(f.settings, f.failed, f.runs) for f in done.unsure] == [({}, 1, 2)]
    assert exit_code(done) == 3


def test_a_finding_has_the_cause_that_was_named_most_often():
    other = replace(FAILED, cause="something else")
    answers = iter([HEALTHY, other, *[FAILED] * 1000])
    search = Search(space([2]))
    run(search, lambda row: next(answers))
    assert [f.observation.cause for f in search.found] == [FAILED.cause]


def test_what_fails_only_sometimes_is_not_believed():
    answers = iter([HEALTHY, FAILED, *[HEALTHY] * 1000])
    search = Search(space([2, 2]))
    run(search, lambda row: next(answers))
    assert search.found == []
    assert [(f.failed, f.runs) for f in search.unsure] == [(1, 3)]


def test_a_world_that_forms_against_its_prediction_is_a_finding_and_still_works():
    wrong = replace(HEALTHY, prediction=Prediction(outlook=Outlook.FAILS, reason="r", cause="c"))
    search = Search(space([2, 2, 2]))
    run(search, lambda row: wrong if row[1] else HEALTHY)
    assert [(f.kind, f.combination) for f in search.found] == [(Kind.FORMS, frozenset({(1, 1)}))]
    assert search.coverage.left == 0
    assert summary(search, seconds=0, ended="").coverage.fail == 0


def test_what_cannot_be_run_is_left_out_and_ends():
    never = Observation(verdict=Verdict.INCONCLUSIVE, prediction=GOOD, not_run="no such interface")
    search = Search(space([3, 3, 2]))
    run(search, lambda row: never if row[0] == 2 else HEALTHY)
    done = summary(search, seconds=0, ended="")
    assert done.not_run == {"no such interface": 1}
    assert done.groups == ()
    assert done.coverage.open == 0


@pytest.mark.parametrize("method", METHODS)
def test_noise_ends_the_search_all_the_same(method):
    answers = iter(range(10**6))
    search = Search(space([3, 3, 3]), method=method)
    asked = run(search, lambda row: FAILED if next(answers) % 3 == 2 else HEALTHY, 3000)
    assert len(asked) < 3000
