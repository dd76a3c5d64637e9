"""The plugin among others: what it costs where nobody uses it, how it goes with other plugins, what it leaves behind."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TWO = """
    import os, time, pytest, torch.distributed as dist

    @pytest.mark.ranks(2)
    @pytest.mark.parametrize("n", range(4))
    def test_many(world, n):
        dist.barrier()

    def test_plain():
        pass
"""


def test_a_session_without_marked_tests_pays_nothing(tmp_path):
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n")
    code = textwrap.dedent("""
        import sys, pytest
        code = pytest.main(["-q", "-p", "no:cacheprovider"])
        print("MODULES", *(m for m in sys.modules if m.split(".")[0] in ("commcheck", "torch", "msgspec")))
        sys.exit(code)
    """)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout
    loaded = done.stdout.partition("MODULES ")[2].split()
    assert set(loaded) <= {"commcheck", "commcheck.pytest_plugin"}
    assert "commcheck.pytest_plugin" in loaded


def test_torch_is_not_imported_by_the_plugin(run, tmp_path):
    suite = """
        import sys, pytest

        @pytest.mark.ranks(2)
        def test_ranks(world):
            assert "torch" in sys.modules
            world.barrier()

        def test_here():
            assert "torch" not in sys.modules
    """
    done = run(tmp_path, {"test_it.py": suite})
    assert done.returncode == 0, done.text


def test_xdist(run, tmp_path):
    done = run(tmp_path, {"test_it.py": TWO}, "-n", "2")
    assert done.returncode == 0, done.text
    assert "5 passed" in done.text


def test_a_failure_through_xdist_is_as_readable(run, tmp_path):
    suite = """
        import pytest, torch.distributed as dist

        @pytest.mark.ranks(2)
        def test_one(world):
            if world.rank == 1:
                raise ValueError("boom")
            dist.barrier()
    """
    done = run(tmp_path, {"test_it.py": suite}, "-n", "1")
    text = done.failure("test_one")
    assert "rank 1 of 2 failed, first:" in text
    assert 'raise ValueError("boom")' in text
    assert "rank 0: follows from it" in text
    assert done.outcome("test_one") == ("FAILED", "rank 1 of 2: ValueError: boom")


def test_choosing_and_collecting(run, tmp_path):
    done = run(tmp_path, {"test_it.py": TWO}, "-k", "many and 3")
    assert "1 passed, 4 deselected" in done.text
    done = run(tmp_path, {}, "--collect-only", "-q")
    assert "test_it.py::test_many[3]" in done.text
    numpy = "ignore:Failed to initialize NumPy"  # torch, where it is not installed
    done = run(tmp_path, {}, "test_it.py::test_many[1]", "--strict-markers", "-W", "error", "-W", numpy, "-x")
    assert "1 passed" in done.text, done.text


def test_last_failed(run, tmp_path):
    suite = """
        import pytest

        @pytest.mark.ranks(2)
        @pytest.mark.parametrize("n", range(3))
        def test_it(world, n):
            assert n != 1 or world.rank != 1
    """
    first = run(tmp_path, {"test_it.py": suite}, cache=True)
    again = run(tmp_path, {}, "--lf", cache=True)
    assert "1 failed, 2 passed" in first.text, first.text
    assert "1 failed" in again.text
    assert "passed" not in again.text.splitlines()[-1], first.text + again.text


def test_output_without_capturing(run, tmp_path):
    suite = """
        import pytest

        @pytest.mark.ranks(2)
        def test_says(world):
            print("a word of", world.rank)
    """
    done = run(tmp_path, {"test_it.py": suite}, "-s")
    assert "[rank 0] a word of 0" in done.text
    assert "[rank 1] a word of 1" in done.text


WRONG = [
    ("ranks(0)", "world_size must be a whole number, 1 or more, not 0"),
    ("ranks(2, wrld=1)", "there is no argument 'wrld'; there are world_size"),
    ("ranks(2, bakend='gloo')", "there is no argument 'bakend'; did you mean 'backend'?"),
    ("ranks(2, 3)", "only the world size may stand without a name"),
    ("ranks(2, per_rank={2: {}})", "per_rank: there is no rank 2 in a world of 2"),
    (
        "ranks(2, per_rank={1: {'MASTER_PORT': '1'}})",
        "there is no setting 'MASTER_PORT'; variables belong into \"env\"",
    ),
    ("ranks(2, env={'A': None})", "env: the variable 'A' must have a text as its value, not None"),
    ("ranks(2, fault=[{'kind': 'kil', 'rank': 1}])", "no fault is called 'kil'; did you mean 'kill'?"),
    ("ranks(2, fault=[{'kind': 'drop'}])", "fault"),
    ("ranks(2, timeout=-1)", "timeout must be a number of seconds above 0, not -1"),
    ("ranks(2, shared='data')", "shared must be a list of names of fixtures"),
    ("ranks(2, ranks_per_host=1)", "ranks_per_host needs lab=..."),
    ("ranks(8, ranks_per_host=2, lab=2)", "need 4 hosts, and the lab has 2"),
]


def test_a_wrong_mark_is_one_clear_error(run, tmp_path):
    tests = [f"@pytest.mark.{mark}\ndef test_{n}(world):\n    pass\n" for n, (mark, _) in enumerate(WRONG)]
    done = run(tmp_path, {"test_it.py": "\n".join(["import pytest", *tests])})
    assert done.returncode == 4, done.text
    assert "Traceback" not in done.text
    for number, (_, says) in enumerate(WRONG):
        line = next(x for x in done.text.splitlines() if f"::test_{number}:" in x)
        assert line.partition("@pytest.mark.ranks: ")[2].startswith(says) or says in line


def test_preflight(run, tmp_path):
    done = run(tmp_path, {"test_it.py": "def test_plain():\n    pass\n"}, "--commcheck-preflight")
    assert done.returncode == 0, done.text
    assert "commcheck: healthy, 2 ranks" in done.text


def test_preflight_stops_the_suite(run, tmp_path):
    files = {"test_it.py": "def test_plain():\n    pass\n", "pytest.ini": "[pytest]\ncommcheck_preflight = 2\n"}
    done = run(tmp_path, files, GLOO_SOCKET_IFNAME="nope0")
    assert done.returncode == 1, done.text
    assert "the communication does not work, so no test was run" in done.text
    assert "There is no interface nope0" in done.text
    assert "tried: the world then formed" in done.text
    assert "passed" not in done.text


def test_hypothesis_shrinks_over_all_ranks(run, tmp_path):
    suite = """
        import pytest, torch, torch.distributed as dist
        from hypothesis import given, settings, strategies as st

        quick = settings(max_examples=30, database=None, derandomize=True)

        @pytest.mark.ranks(2)
        @quick
        @given(xs=st.lists(st.integers(0, 99), min_size=1, max_size=3))
        def test_alike(world, xs):
            t = torch.tensor(xs)
            dist.all_reduce(t)
            assert t.tolist() == [2 * x for x in xs]

        @pytest.mark.ranks(2)
        @quick
        @given(st.integers(0, 1000))
        def test_raises(world, n):
            if n >= 37 and world.rank == 1:
                raise ValueError("too large")
            dist.barrier()

        class TestClass:
            @pytest.mark.ranks(2)
            @quick
            @given(n=st.integers(0, 1000))
            def test_hangs(self, world, n):
                if n < 100 or world.rank == 1:
                    dist.barrier()
    """
    done = run(tmp_path, {"test_it.py": suite})
    assert done.outcome("test_alike")[0] == "PASSED", done.text
    assert "n=37," in done.failure("test_raises")
    assert "n=100," in done.failure("TestClass.test_hangs")
    assert "rank 1 waits in barrier" in done.failure("TestClass.test_hangs")


def test_coverage_counts_the_lines_of_ranks(run, tmp_path):
    pytest.importorskip("pytest_cov")
    files = {
        "counted.py": """
            def on(rank):
                if rank == 1:
                    return "one"
                return "another"

            def never():
                return 1
        """,
        "test_it.py": """
            import pytest, counted

            @pytest.mark.ranks(2)
            def test_it(world):
                assert counted.on(world.rank)
        """,
    }
    done = run(tmp_path, files, "--cov=counted", "--cov-report=term-missing")
    assert "83%   8" in done.text, done.text
    assert sorted(p.name for p in tmp_path.glob(".coverage*")) == [".coverage"]


RUNNING = """
    import os, pathlib, time, pytest

    @pytest.mark.ranks(2)
    def test_runs(world):
        pathlib.Path(f"ready-{world.rank}").touch()
        while True:
            pass

    @pytest.mark.ranks(2)
    def test_next(world):
        pass
"""


def below(pid):
    """All descendants of a process, each as a descriptor that tells when it has ended."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found |= {child: os.pidfd_open(child), **below(child)}
    return found


def started(folder, process):
    """The processes below pytest, once both ranks are in their test."""
    while not all((folder / f"ready-{rank}").exists() for rank in range(2)):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            pytest.fail(process.stdout.read())
    found = below(process.pid)
    assert len(found) >= 3
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left(start, tmp_path, number):
    process = start(tmp_path, {"test_it.py": RUNNING})
    processes = started(tmp_path, process)
    os.kill(process.pid, number)
    process.wait(timeout=100)
    for pid, fd in processes.items():
        ended, _, _ = select.select([fd], [], [], 30)
        os.close(fd)
        assert ended, f"process {pid} is left"
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in process.stdout.read()


def test_the_next_test_has_a_new_world_after_a_failure(run, tmp_path):
    suite = """
        import os, pytest, torch, torch.distributed as dist

        @pytest.mark.ranks(2)
        @pytest.mark.timeout(1)
        def test_hangs(world):
            while world.rank:
                pass

        @pytest.mark.ranks(2)
        def test_dies(world):
            os.kill(os.getpid(), 9)

        @pytest.mark.ranks(2)
        def test_works(world):
            x = torch.ones(1)
            dist.all_reduce(x)
            assert x.item() == 2
    """
    done = run(tmp_path, {"test_it.py": suite}, GLOO_SOCKET_IFNAME="lo")
    assert done.outcome("test_works")[0] == "PASSED"
    assert "2 failed, 1 passed" in done.text
