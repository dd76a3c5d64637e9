"""Whatever a test may do, on the ranks of a world: one suite, run once, and what pytest says of each of its tests."""

import pytest

pytestmark = pytest.mark.xdist_group("results")  # its fixture takes seconds: one process makes it

CONFTEST = """
    import os, pytest

    @pytest.fixture(scope="session")
    def dataset():
        return {"pid": os.getpid()}

    @pytest.fixture
    def unsendable():
        return lambda x: x + 1

    @pytest.fixture
    def noted(world, tmp_path):
        yield tmp_path
        (tmp_path / f"after-{world.rank}").touch()
        world.barrier()
        assert len(list(tmp_path.glob("after-*"))) == world.world_size
"""

SUITE = """
    import os, sys, unittest, warnings, pytest, torch
    import torch.distributed as dist
    from torch.distributed import all_reduce

    two = pytest.mark.ranks(2)

    @two
    def test_values(world):
        x = torch.full((4,), float(world.rank + 1))
        all_reduce(x)
        assert x.tolist() == [3.0] * 4
        assert (dist.get_rank(), dist.get_world_size()) == (world.rank, 2) == (int(os.environ["RANK"]), 2)

    @pytest.mark.ranks(3)
    @pytest.mark.parametrize("text", ["a", "b"])
    def test_files_are_shared(world, text, tmp_path, tmp_path_factory):
        (tmp_path / f"{text}{world.rank}").touch()
        world.barrier()
        assert sorted(p.name for p in tmp_path.iterdir()) == [f"{text}{rank}" for rank in range(3)]
        assert str(world.rank) in str(tmp_path_factory.mktemp("own"))

    @pytest.mark.ranks()
    @pytest.mark.parametrize("world_size", [1, 4])
    def test_world_size_from_parameters(world, world_size):
        assert world.world_size == world_size

    @two
    def test_fixtures_on_the_rank(world, noted, unsendable, capsys, monkeypatch):
        monkeypatch.setenv("SOME", "value")
        print("to the test")
        assert capsys.readouterr().out == "to the test\\n"
        assert unsendable(1) == 2

    @pytest.mark.ranks(2, shared=["dataset"])
    def test_shared_fixture(world, dataset):
        assert dataset["pid"] != os.getpid()

    @pytest.mark.ranks(2, shared=["unsendable"])
    def test_cannot_be_shared(world, unsendable):
        pass

    class TestMethods:
        pytestmark = two

        def setup_method(self):
            self.x = torch.ones(2)

        def test_method(self, world):
            all_reduce(self.x)
            assert self.x.sum() == 4

        @pytest.mark.ranks(3)
        def test_closest_mark_counts(self, world):
            assert world.world_size == 3

    class TestCase(unittest.TestCase):
        pytestmark = two

        def setUp(self):
            self.rank = dist.get_rank()

        def test_unittest(self):
            self.assertEqual(dist.get_world_size(), 2)

        def test_unittest_fails(self):
            self.assertEqual(self.rank, 0)

    @two
    def test_wrong_value(world):
        print(f"rank {world.rank} says hello")
        x = torch.full((4,), float(world.rank + 1))
        all_reduce(x)
        if world.rank == 1:
            x += 1
        assert x.tolist() == [3.0] * 4

    @two
    def test_exception(world):
        if world.rank == 1:
            raise ValueError("boom")
        dist.barrier()

    @pytest.mark.ranks(4)
    def test_alike(world):
        if world.rank:
            assert dist.get_world_size() == 5
        dist.barrier()

    @two
    def test_skipped_call(world):
        if world.rank == 0:
            all_reduce(torch.ones(4))

    @two
    def test_receives_in_vain(world):
        if world.rank == 0:
            dist.recv(torch.ones(2), 1)

    @pytest.mark.ranks(3)
    def test_group_in_vain(world):
        group = dist.new_group([0, 1])
        if world.rank == 0:
            all_reduce(torch.ones(4), group=group)

    @two
    def test_crash(world):
        if world.rank == 1:
            os.kill(os.getpid(), 11)
        dist.barrier()

    @two
    def test_stops(world):
        if world.rank == 1:
            os.kill(os.getpid(), 19)
        dist.barrier()

    @two
    def test_exits(world):
        if world.rank == 1:
            os._exit(3)
        dist.barrier()

    @two
    def test_shapes(world):
        all_reduce(torch.ones(4 + world.rank))

    @two
    def test_deadline(world):
        pass

    @pytest.mark.ranks(2, timeout=1)
    def test_own_deadline(world):
        while True:
            pass

    @two
    @pytest.mark.timeout(1)
    def test_pytest_timeout(world):
        while world.rank == 1:
            pass
        dist.barrier()

    @pytest.mark.ranks(2, env={"GLOO_SOCKET_IFNAME": "nope0"})
    def test_no_world(world):
        pass

    @pytest.mark.ranks(2, fault=[{"kind": "kill", "rank": 1, "phase": "group"}])
    def test_fault(world):
        pass

    @two
    def test_all_skip(world):
        pytest.importorskip("not_there_at_all")

    @two
    def test_one_skips(world):
        if world.rank == 1:
            pytest.skip("of no use here")

    @two
    def test_raises(world):
        with pytest.raises(ValueError, match="x"):
            raise ValueError("x")

    @two
    @pytest.mark.xfail(strict=True, raises=ValueError, reason="known")
    def test_xfail_on_one(world):
        if world.rank == 0:
            raise ValueError
        dist.barrier()

    @two
    @pytest.mark.xfail(strict=True, reason="known")
    def test_xpass(world):
        pass

    @two
    @pytest.mark.xfail(reason="known")
    def test_xfail_hang(world):
        if world.rank == 0:
            dist.barrier()

    @two
    @pytest.mark.skipif(True, reason="not now")
    def test_skipif(world):
        pass

    @two
    def test_warns(world):
        warnings.warn("from a rank")

    @pytest.mark.ranks(2, per_rank={1: {"env": {"OMP_NUM_THREADS": "3"}}})
    def test_fresh_interpreter(world):
        assert os.environ.get("OMP_NUM_THREADS") == ("3" if world.rank else None)

    @two
    def test_group_is_gone(world):
        dist.destroy_process_group()

    @pytest.fixture
    def broken(world):
        assert world.rank == 0

    @two
    def test_broken_fixture(world, broken):
        pass

    @two
    def test_facts(world, host_facts):
        assert any(i.loopback for i in host_facts.interfaces)

    def test_without_a_world():
        assert "RANK" not in os.environ

    def test_unmarked(world):
        pass
"""


@pytest.fixture(scope="module")
def suite(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    return run(folder, {"conftest.py": CONFTEST, "test_it.py": SUITE}, OMP_NUM_THREADS=None, GLOO_SOCKET_IFNAME="lo")


PASS = [
    "test_values", "test_files_are_shared[a]", "test_files_are_shared[b]", "test_world_size_from_parameters[1]",
    "test_world_size_from_parameters[4]", "test_fixtures_on_the_rank", "test_shared_fixture", "TestMethods::test_method",
    "TestMethods::test_closest_mark_counts", "TestCase::test_unittest", "test_one_skips", "test_raises", "test_warns",
    "test_fresh_interpreter", "test_group_is_gone", "test_facts", "test_without_a_world", "test_deadline",
]  # fmt: skip


@pytest.mark.parametrize("test", PASS)
def test_passes(suite, test):
    assert suite.outcome(test)[0] == "PASSED", suite.text


@pytest.mark.parametrize(
    ("test", "summary", "shown"),
    [
        (
            "test_wrong_value",
            "rank 1 of 2: ",
            ["assert [4.0, 4.0, 4.0, 4.0] == [3.0, 3.0, 3.0, 3.0]", "rank 0 says hello"],
        ),
        ("test_exception", "rank 1 of 2: ValueError: boom", ["rank 1 of 2 failed, first:", "rank 0: follows from it"]),
        (
            "test_alike",
            "ranks 1-3 of 4: ",
            ["ranks 1-3 of 4 failed in the same way", "assert 4 == 5", "rank 0: follows"],
        ),
        (
            "test_skipped_call",
            "the test stands still: rank 0 waits in all_reduce(4 x float32, sum), call 0; rank 1 is through",
            [
                "stack of rank 0",
                "in test_skipped_call",
                "[CC205 collective-missing-rank]",
                "make every rank of the group",
            ],
        ),
        (
            "test_receives_in_vain",
            "rank 0 waits in recv from rank 1; rank 1 is through with the test",
            ["in test_receives"],
        ),
        ("test_group_in_vain", "rank 0 waits in all_reduce in the group of ranks 0, 1; ranks 1, 2 are through", []),
        ("test_crash", "rank 1 of 2 was ended by SIGSEGV at test_it.py:", ["in test_crash", "rank 0"]),
        ("test_exits", "rank 1 of 2 left with exit code 3", ["rank 0"]),
        (
            "test_shapes",
            "Rank 0 calls all_reduce(4 x float32, sum); rank 1 all_reduce(5 x float32, sum)",
            ["[CC202 collective-shape-mismatch]", "give the tensor the same shape on every rank"],
        ),
        ("test_stops", "rank 0 waits in barrier, call 0; rank 1 is stopped", ["[CC174 rank-stopped]"]),
        (
            "test_own_deadline",
            "the test has not ended after 1 s: ranks 0, 1 run code of the test",
            ["in test_own_deadline"],
        ),
        (
            "test_pytest_timeout",
            "from pytest-timeout",
            ["rank 0  waits in barrier, call 0", "rank 1  runs code of the test"],
        ),
        (
            "test_no_world",
            "the world of the test did not form: There is no interface nope0",
            ["[CC140 interface-missing]"],
        ),
        ("test_fault", "the world of the test did not form", ["[CC171 rank-killed]"]),
        ("TestCase::test_unittest_fails", "rank 1 of 2: AssertionError: 1 != 0", []),
        ("test_xpass", "[XPASS(strict)] known", []),
        ("test_broken_fixture", "rank 1 of 2: ", ["failed in the setup of its fixtures"]),
        ("test_cannot_be_shared", "the fixture 'unsendable' cannot be sent to the ranks", []),
    ],
)
def test_fails_readably(suite, test, summary, shown):
    word, line = suite.outcome(test)
    text = suite.failure(test.replace("::", "."))
    assert word == "FAILED"
    assert line.removesuffix("...")[:60] in summary or summary in line or summary in text, line
    for part in shown:
        assert part in text, text


def test_what_follows_is_a_line(suite):
    text = suite.failure("test_exception")
    line = text.partition("rank 0: follows from it")[2].splitlines()[1]
    assert line.startswith("test_it.py:")
    assert "Connection" in line
    assert "commcheck" not in text, "an exception of the program needs no diagnosis"


def test_frames_of_the_machinery_are_hidden(suite):
    for test in ("test_exception", "test_skipped_call", "test_crash", "test_shapes"):
        text = suite.failure(test)
        assert "_pytest" not in text
        assert "/commcheck/" not in text


def test_skips_and_expected_failures(suite):
    assert "SKIPPED [1] test_it.py:" in suite.text
    assert "could not import 'not_there_at_all'" in suite.text
    assert "rank 1: of no use here" in suite.text
    assert suite.outcome("test_xfail_on_one") == ("XFAIL", "known")
    assert suite.outcome("test_xfail_hang") == ("XFAIL", "known")


def test_a_warning_of_all_ranks_is_shown_once(suite):
    assert suite.text.count("UserWarning: from a rank") == 1


def test_the_fixture_needs_the_mark(suite):
    assert "mark the test with @pytest.mark.ranks(2)" in suite.outcome("test_unmarked")[1] + suite.text
