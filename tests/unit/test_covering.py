"""Covering arrays against a count of their own, and shrinking against faults that are known."""

from itertools import combinations, product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commcheck.generate.covering import Coverage, covering_array, one_at_a_time, random_rows
from commcheck.generate.parameter import deviations, holds
from commcheck.generate.shrink import quick_explain, shrink, suspects

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=6)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def coverable(sizes, strength, forbidden):
    """All combinations that some allowed row holds, by trying every row there is."""
    rows = [r for r in product(*map(range, sizes)) if not any(holds(r, f) for f in forbidden)]
    where = list(combinations(range(len(sizes)), min(strength, len(sizes))))
    return {tuple((p, row[p]) for p in places) for row in rows for places in where}


@st.composite
def constrained(draw):
    sizes = draw(SIZES)
    row = st.tuples(*[st.integers(0, s - 1) for s in sizes])
    wanted = st.sets(st.integers(0, len(sizes) - 1), min_size=1, max_size=3)
    made = draw(st.lists(st.tuples(row, wanted), max_size=4))
    return sizes, tuple(frozenset((p, values[p]) for p in places) for values, places in made)


@PATIENT
@given(constrained(), st.integers(1, 4), st.integers(0, 3))
def test_what_can_be_covered_is_covered_and_nothing_forbidden_is_in_it(made, strength, seed):
    sizes, forbidden = made
    rows = covering_array(sizes, strength, forbidden=forbidden, seed=seed)
    assert not [r for r in rows for f in forbidden if holds(r, f)]
    had = {
        tuple((p, r[p]) for p in w) for r in rows for w in combinations(range(len(sizes)), min(strength, len(sizes)))
    }
    assert had == coverable(sizes, strength, forbidden)
    assert rows == covering_array(sizes, strength, forbidden=forbidden, seed=seed)


@PATIENT
@given(constrained(), st.integers(1, 3))
def test_the_count_is_that_of_an_independent_count(made, strength):
    sizes, forbidden = made
    coverage = Coverage(sizes, strength, forbidden=forbidden)
    while (row := coverage.next()) is not None:
        before = coverage.left
        assert coverage.gain(row) > 0
        assert coverage.close(row) == before - coverage.left
    assert coverage.total == len(coverable(sizes, strength, forbidden))
    assert list(coverage.open()) == []


def test_what_is_forbidden_later_is_not_open_any_more():
    coverage = Coverage([2, 2, 2], 2)
    coverage.forbid(frozenset({(0, 1)}))
    assert not [c for c in coverage.open() if (0, 1) in c]
    assert coverage.left == 8
    assert coverage.total == 12


def test_an_array_is_far_smaller_than_all_rows():
    rows = covering_array([4] * 12, 2)
    assert len(rows) <= 36  # of 16,777,216; no array can have fewer than 16


def test_one_at_a_time_and_random():
    assert one_at_a_time([2, 3]) == ((1, 0), (0, 1), (0, 2))
    first, again, other = (random_rows([3] * 8, seed) for seed in (1, 1, 2))
    assert [next(first) for _ in range(5)] == [next(again) for _ in range(5)]
    assert next(other) != next(random_rows([3] * 8, 1))


def drive(asking, fails):
    """Run a shrinking generator against a predicate; the result, and the rows that it asked for."""
    asked = []
    answer = None
    while True:
        try:
            row = asking.send(answer)
        except StopIteration as done:
            return done.value, asked
        asked.append(row)
        answer = fails(row)


@st.composite
def planted(draw):
    length = draw(st.integers(1, 20))
    row = tuple(draw(st.lists(st.integers(0, 3), min_size=length, max_size=length)))
    own = sorted(deviations(row))
    size = draw(st.integers(0, min(4, len(own))))
    return row, frozenset(draw(st.permutations(own))[:size])


@given(planted())
def test_quick_explain_finds_exactly_what_matters(made):
    row, cause = made
    found, asked = drive(quick_explain(row), lambda r: holds(r, cause))
    assert found == cause or (not cause and len(found) <= 1)
    assert len(asked) <= 2 * max(1, len(cause)) * (len(row).bit_length() + 1) + 2


@given(planted(), st.integers(1, 3), st.lists(st.lists(st.integers(0, 3), min_size=20, max_size=20), max_size=8))
def test_shrinking_finds_exactly_what_matters_whatever_else_has_worked(made, strength, others):
    row, cause = made
    if not cause:
        return
    working = [tuple(r[: len(row)]) for r in others]
    working = [r for r in working if not holds(r, cause)]
    found, _ = drive(shrink(row, strength, working), lambda r: holds(r, cause))
    assert found == cause


def test_a_pair_among_twenty_settings_costs_few_worlds():
    row, cause = (1,) * 20, frozenset({(3, 1), (17, 1)})
    working = [tuple(1 if n == m else 0 for n in range(20)) for m in range(20)]
    assert len(suspects(row, 2, working)) == 190
    found, asked = drive(shrink(row, 2, working), lambda r: holds(r, cause))
    assert found == cause
    assert len(asked) <= 10
    print(f"a pair of 190 found in {len(asked)} worlds")


@given(st.integers(1, 6), st.data())
def test_two_faults_in_one_row_give_one_of_them(length, data):
    row = (1,) * (length + 4)
    one = frozenset({(0, 1), (1, 1)})
    other = frozenset({(2, 1), (data.draw(st.integers(3, length + 3)), 1)})
    found, _ = drive(shrink(row, 2, []), lambda r: holds(r, one) or holds(r, other))
    assert found in (one, other)
