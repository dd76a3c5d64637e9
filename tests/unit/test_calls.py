"""Who left a call out, or added one, where no majority tells: two ranks, of which neither waits for the other's calls."""

from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose.calls import difference
from commcheck.model.case import Case, Collective, Ended, Origin, RankRecord, World, call_signature
from commcheck.model.phase import Phase

PROGRAMS = st.lists(st.integers(1, 4), min_size=2, max_size=12)
"""The size of each step's tensor: equal ones are not told apart by what is called."""


def rank(number, program, places):
    """A rank that issued the calls of these steps, in this order; it waits in the last."""
    calls = tuple(
        Collective(
            index=index, op="all_reduce", shape=(program[place],), dtype="float32", reduce_op="sum", phase=Phase.VERIFY,
            expected=call_signature("all_reduce", program[place], "float32", "sum"), place=place,
        )
        for index, place in enumerate(places)
    )  # fmt: skip
    return RankRecord(slot=number, rank=number, world_size=2, host="h", backend="nccl", collectives=calls)


def found(*ranks):
    case = Case(origin=Origin.WORLD, world=World(size=2, backend="nccl"), ranks=ranks, ended=Ended.STALLED)
    return difference(case)


@given(PROGRAMS, st.data())
def test_who_leaves_a_step_out_is_guilty_however_far_it_goes_on(program, data) -> None:
    left = data.draw(st.integers(0, len(program) - 2), label="the step that is left out")
    ahead = data.draw(st.integers(left + 2, len(program)), label="how far the other goes on")
    waits = data.draw(st.integers(left + 1, len(program)), label="where the first stands")
    guilty = data.draw(st.integers(0, 1), label="who")
    places = [*range(left), *range(left + 1, ahead)]
    ranks = [rank(1 - guilty, program, range(waits)), rank(guilty, program, places)]
    differs = found(*sorted(ranks, key=lambda r: r.slot))
    assert differs is None or [r.rank for r in differs.guilty] == [guilty]
    if program[left] != program[left + 1]:
        assert differs is not None
        assert differs.index == left


@given(PROGRAMS, st.data())
def test_who_adds_a_call_is_guilty(program, data) -> None:
    twice = data.draw(st.integers(0, len(program) - 2))
    guilty = data.draw(st.integers(0, 1))
    places = [*range(twice + 1), twice, *range(twice + 1, len(program) - 1)]
    ranks = [rank(1 - guilty, program, range(len(program))), rank(guilty, program, places)]
    differs = found(*sorted(ranks, key=lambda r: r.slot))
    assert differs is None or [r.rank for r in differs.guilty] == [guilty]


@given(PROGRAMS)
def test_ranks_that_do_the_same_do_not_differ(program) -> None:
    assert found(rank(0, program, range(len(program))), rank(1, program, range(len(program) - 1))) is None
