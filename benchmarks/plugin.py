"""The same tests four times in one run: the mark `ranks`, torch's own MultiProcessTestCase, torch.multiprocessing.spawn inside
a test, and pytest below mpirun, every rank being a pytest of its own (as with pytest-mpi). Then what each of them says of the
same planted bugs. `--tests N` (50), `--no-bugs`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAIN = """
    x = torch.full((16 + n,), float(rank + 1))
    dist.all_reduce(x)
    assert x.tolist() == [3.0] * (16 + n)
    parts = [torch.empty(1) for _ in range(2)]
    dist.all_gather(parts, torch.tensor([float(rank)]))
    assert [int(p) for p in parts] == [0, 1]
"""
BUGS = {
    "wrong value": "x = torch.ones(4)\\n    dist.all_reduce(x)\\n    x += rank\\n    assert x.tolist() == [2.0] * 4",
    "exception": "if rank == 1:\\n        raise ValueError('boom')\\n    dist.barrier()",
    "hang": "if rank == 0:\\n        dist.all_reduce(torch.ones(4))",
    "crash": "if rank == 1:\\n        os.kill(os.getpid(), 11)\\n    dist.barrier()",
    "shapes": "dist.all_reduce(torch.ones(4 + rank))",
}
HANG_SECONDS = 20
"""The longest that the others may wait for a hang here; torch's own limit is 300 s."""

BODIES = """
import os
import torch
import torch.distributed as dist

def plain(rank, n):{plain}
{bugs}
"""

OURS = """
import pytest, bodies
NAMES = {names}

@pytest.mark.ranks(2)
@pytest.mark.parametrize("n", range({tests}))
def test_plain(world, n):
    bodies.plain(world.rank, n)

@pytest.mark.ranks(2)
@pytest.mark.parametrize("name", NAMES)
def test_bug(world, name):
    getattr(bodies, name)(world.rank)
"""

TORCH = """
import os, sys, bodies
import torch.distributed as dist
from torch.testing._internal import common_distributed
from torch.testing._internal.common_distributed import MultiProcessTestCase
common_distributed.TIMEOUT_DEFAULT = {hang} if "bug" in " ".join(sys.argv) else 300

class TestTorch(MultiProcessTestCase):
    world_size = 2

    def setUp(self):
        super().setUp()
        self._spawn_processes()

    def tearDown(self):
        super().tearDown()
        if os.path.exists(self.file_name):
            os.remove(self.file_name)

    def form(self):
        store = dist.FileStore(self.file_name, 2)
        dist.init_process_group("gloo", store=store, rank=self.rank, world_size=2)

def _plain(n):
    def test(self):
        self.form()
        bodies.plain(self.rank, n)
        dist.destroy_process_group()
    return test

def _bug(name):
    def test(self):
        self.form()
        getattr(bodies, name)(self.rank)
        dist.destroy_process_group()
    return test

for n in range({tests}):
    setattr(TestTorch, f"test_plain_{{n}}", _plain(n))
for name in {names}:
    setattr(TestTorch, f"test_bug_{{name}}", _bug(name))
"""

SPAWN = """
import tempfile, pytest, torch.distributed as dist, torch.multiprocessing as mp, bodies

def body(rank, file, name, arguments):
    dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
    getattr(bodies, name)(rank, *arguments)
    dist.destroy_process_group()

def spawn(tmp_path, name, *arguments):
    mp.spawn(body, (str(tmp_path / "store"), name, arguments), nprocs=2)

@pytest.mark.parametrize("n", range({tests}))
def test_plain(tmp_path, n):
    spawn(tmp_path, "plain", n)

@pytest.mark.timeout({hang})
@pytest.mark.parametrize("name", {names})
def test_bug(tmp_path, name):
    spawn(tmp_path, name)
"""

MPI = """
import os, pytest, torch.distributed as dist, bodies
RANK = int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK") or 0)

@pytest.fixture(scope="session")
def world():
    dist.init_process_group("gloo", init_method="file://" + os.environ["BENCH_STORE"], rank=RANK, world_size=2)
    yield RANK

@pytest.mark.parametrize("n", range({tests}))
def test_plain(world, n):
    bodies.plain(world, n)

@pytest.mark.timeout({hang})
@pytest.mark.parametrize("name", {names})
def test_bug(world, name):
    getattr(bodies, name)(world)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=50)
    parser.add_argument("--no-bugs", action="store_true")
    options = parser.parse_args()
    names = [name.replace(" ", "_") for name in BUGS]
    with tempfile.TemporaryDirectory(prefix="commcheck-bench-") as made:
        folder = Path(made)
        bugs = "\n".join(f"def {n}(rank):\n    {code}\n" for n, code in zip(names, BUGS.values(), strict=True))
        (folder / "bodies.py").write_text(BODIES.format(plain=PLAIN, bugs=bugs).replace("\\n", "\n"))
        (folder / "conftest.py").write_text('import pytest\npytest.register_assert_rewrite("bodies")\n')
        for file, text in {"ours": OURS, "torchs": TORCH, "spawns": SPAWN, "mpis": MPI}.items():
            (folder / f"test_{file}.py").write_text(text.format(tests=options.tests, names=names, hang=HANG_SECONDS))
        ways = {"mark `ranks`": ("ours",), "multiprocessing.spawn": ("spawns",)}
        if importlib.util.find_spec("expecttest") is not None:
            ways["MultiProcessTestCase"] = ("torchs",)
        else:
            print("without torch's MultiProcessTestCase, which needs the package expecttest")
        if shutil.which("mpirun"):
            ways["pytest below mpirun"] = ("mpis",)
        speed(folder, ways, options.tests)
        if not options.no_bugs:
            texts(folder, ways, names)


def pytest_of(folder: Path, file: str, *arguments: str) -> tuple[float, float, str]:
    """Seconds, seconds of processors (of all processes that it waited for), and what it printed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "--tb=short",
        f"test_{file}.py",
        *arguments,
    ]
    environment = os.environ | {"RES_OPTIONS": "timeout:1 attempts:1", "COLUMNS": "120", "GLOO_SOCKET_IFNAME": "lo"}
    if file == "mpis":
        store = tempfile.mktemp(dir=folder)
        environment["BENCH_STORE"] = store
        command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", *command]
        if "Open MPI" not in subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout:
            command = ["mpirun", "-n", "2", *command[5:]]
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
    took, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout + done.stderr


def speed(folder: Path, ways: dict[str, tuple[str, ...]], tests: int) -> None:
    """All ways with the same tests; and with one test, so that what a session costs can be taken off."""
    print(
        f"{tests} tests on 2 ranks: seconds with the start of pytest and the import of torch; for each test, in milliseconds"
    )
    print("and as a ratio, the time and the time of processors, which other work on the machine changes less")
    first = (0.0, 0.0)
    for name, (file,) in ways.items():
        once, once_cpu, _ = pytest_of(folder, file, "-k", "plain and (0)" if file != "torchs" else "test_plain_0")
        took, took_cpu, text = pytest_of(folder, file, "-k", "plain")
        passed = re.search(r"(\d+) passed", text)
        assert passed is not None, text
        assert int(passed[1]) >= tests, text
        each, each_cpu = ((b - a) / max(tests - 1, 1) for a, b in ((once, took), (once_cpu, took_cpu)))
        first = first if first[0] else (each, each_cpu)
        print(
            f"  {name:<24} {took:8.1f} s {each * 1000:8.0f} ms {each / first[0]:6.1f} x"
            f"   processors {each_cpu * 1000:8.0f} ms {each_cpu / first[1]:6.1f} x",
            flush=True,
        )


def texts(folder: Path, ways: dict[str, tuple[str, ...]], names: list[str]) -> None:
    """What is said of each bug: seconds, and the lines of the summary and of the errors."""
    for bug in names:
        print(f"\n=== {bug.replace('_', ' ')}")
        for name, (file,) in ways.items():
            try:
                took, _, text = pytest_of(folder, file, "-k", f"bug and {bug}")
            except subprocess.TimeoutExpired:
                took, text = 1800.0, "(no end)"
            lines = [line for line in text.splitlines() if line.strip()]
            print(f"--- {name}: {took:.1f} s, {len(lines)} lines")
            told = [
                x for x in lines if re.match(r"E  |FAILED |rank|the test|Rank|  why|  do|Fatal|.*failed:|.*follows", x)
            ]
            for line in told[:9]:
                print(f"    {line[:150]}")


if __name__ == "__main__":
    main()
