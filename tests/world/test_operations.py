"""Every operation against its reference, on the ranks of worlds of several sizes."""

import pytest

# torch calls some of its names old, which is not what is looked at here.
pytestmark = [pytest.mark.ranks(), pytest.mark.filterwarnings("ignore::FutureWarning")]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_results_are_as_computed_without_communication(world, world_size):
    from types import SimpleNamespace

    from commcheck.worker.steps import OPERATIONS, Step, compare, values

    assert len(OPERATIONS) == 7
    for name, operation in OPERATIONS.items():
        step = Step(op=name, size=5, reduce_op="sum")
        mine = values(world.rank, step.size, step.dtype, world.device)
        result, reference = operation(SimpleNamespace(rank=world.rank, world_size=world_size), step, mine)
        check = compare(step, result, reference)
        assert check.ok, check.detail
