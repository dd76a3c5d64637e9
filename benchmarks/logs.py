"""`commcheck diagnose` beside ripgrep on a large log, each on one core: `python benchmarks/logs.py [--mb 1024]`.

The log is that of `biglog.py`: 1,024 ranks in one file, one failure at its end. ripgrep counts the lines that contain any
of the literals for which commcheck looks (`rg -c -i -F -f LITERALS`, one thread); where it is not installed, `grep -c -i -F`
takes its place, and the output says so. Contenders take turns; what counts is the processor time of a process, which other
work on the machine changes less than the time on the clock. Exit code 1 when something misses what is expected of it.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import biglog  # noqa: E402

from commcheck.diagnose import index  # noqa: E402

COMMCHECK = (sys.executable, "-m", "commcheck", "diagnose", "--no-color")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)
MEMORY_MB = 300
SMALL_LINES = 200


class Run(NamedTuple):
    """One process: seconds of processor and clock, its largest memory in MB, and when it first said something."""

    cpu: float
    wall: float
    memory: float
    first: float
    output: str


def run(*words: str) -> Run:
    """Run a command on one core. Its memory is measured by a fresh parent, whose other children do not count."""
    begin = time.perf_counter()
    with subprocess.Popen(
        words, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        first: list[float] = []

        def listen() -> None:
            assert process.stderr is not None
            first.extend(time.perf_counter() - begin for _ in process.stderr)

        listener = threading.Thread(target=listen)
        listener.start()
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        listener.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    if process.returncode not in {0, 1}:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {output[-1000:]}")
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, min(first, default=wall), output)


def searcher(literals: Path) -> tuple[str, tuple[str, ...]]:
    """The search tool, by its name and its command."""
    if shutil.which("rg"):
        return "ripgrep", ("rg", "-j1", "-c", "-i", "-F", "-f", str(literals))
    print("ripgrep is not installed: grep takes its place, and the ratio is not the one that is asked for")
    return "grep", ("grep", "-c", "-i", "-F", "-f", str(literals))


def large(folder: Path, megabytes: int, rounds: int) -> bool:
    """The large log: throughput, ratio, memory, first answer. Returns whether all is as expected."""
    log, literals = folder / "job.log", folder / "literals"
    with log.open("wb") as file:
        size = biglog.write(file, megabytes << 20) / 1e6
    words = sorted({text for entry in index.entries() for text in entry.signature.literal.split(" | ")})
    literals.write_text("\n".join(words) + "\n", encoding="utf-8")
    name, command = searcher(literals)
    print(f"\n{size:.0f} MB of {biglog.RANKS} ranks, {len(words)} literals, medians of {rounds} rounds in turns")
    ours, theirs = [], []
    for number in range(rounds + 1):  # the first round fills the file cache and the compiled modules
        found, searched = run(*COMMCHECK, str(log)), run(*command, str(log))
        if number:
            ours.append(found)
            theirs.append(searched)
    if f"{biglog.CAUSE} on rank {biglog.GUILTY}" not in ours[0].output:
        print(f"  WRONG: the failure is not named:\n{ours[0].output[:500]}")
        return False
    cpu, other = statistics.median(r.cpu for r in ours), statistics.median(r.cpu for r in theirs)
    print(f"  commcheck diagnose   {cpu:6.2f} s of processor, {size / cpu:6.0f} MB/s")
    print(f"  {name:<20} {other:6.2f} s of processor, {size / other:6.0f} MB/s")
    memory = max(r.memory for r in ours)
    print(f"  first answer after {min(r.first for r in ours):.2f} s, the whole after {min(r.wall for r in ours):.2f} s")
    return all(
        (
            said(f"throughput of commcheck / {name}", other / cpu, at_least=0.5),
            said("peak memory, MB", memory, at_most=MEMORY_MB),
        )
    )


def small(folder: Path, rounds: int) -> bool:
    """A log of 200 lines, against an empty interpreter."""
    log = folder / "small.log"
    data = b"".join(biglog.pieces(0)).splitlines(keepends=True)
    log.write_bytes(b"".join(data[-SMALL_LINES:]))
    empty, ours = [], []
    for _ in range(rounds):
        empty.append(run(sys.executable, "-c", "pass").cpu)
        ours.append(run(*COMMCHECK, "--quiet", str(log)).cpu)
    print(f"\na log of {SMALL_LINES} lines, medians of {rounds} rounds in turns")
    return said(
        "commcheck diagnose / empty interpreter", statistics.median(ours) / statistics.median(empty), at_most=10
    )


def said(text: str, value: float, *, at_least: float = 0.0, at_most: float = float("inf")) -> bool:
    good = at_least <= value <= at_most
    bound = f"at least {at_least:g}" if at_least else f"at most {at_most:g}"
    print(f"  -> {text}: {value:.2f}   (expected {bound}){'' if good else '   MISSED'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1024, help="size of the log (default: 1024)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs (default: 3)")
    parser.add_argument("--plain", action="store_true", help="as if Hyperscan were not installed")
    args = parser.parse_args()
    engine = "plain Python" if args.plain else "Hyperscan where it is installed"
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {engine}")
    with tempfile.TemporaryDirectory(prefix="commcheck-bench-") as name:
        folder = Path(name)
        ENVIRONMENT["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        if args.plain:
            (folder / "hyperscan.py").write_text("raise ImportError\n", encoding="utf-8")
            ENVIRONMENT["PYTHONPATH"] = os.pathsep.join((name, str(ROOT)))
        good = small(folder, 4 * args.rounds + 1)
        good = large(folder, args.mb, args.rounds) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
