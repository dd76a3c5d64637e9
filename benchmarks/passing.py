"""What `commcheck run -- CMD` costs: `python benchmarks/passing.py [--lines N] [--rounds N]`.

Two commands, bare and under `commcheck run`, in turns: one that prints a million lines into a file, in chunks as C's and
Python's buffered output have them, and one that computes in silence. commcheck's own start is a fixed time, which is
measured too (of a command that does nothing) and taken off: a job runs for hours. Printed are medians and their ratio.
Exit code 1 where passing the output through costs more than expected.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
EXPECTED = 0.02
LINE = "step {i} loss 0.5 grad_norm 1.25 lr 0.0001 samples_per_second 812.5 and some more text as a trainer prints it"

PRINTS = f"for i in range({{lines}}): print(f'{LINE}')"
COMPUTES = "x = 0\nfor i in range({steps}): x = (x * 31 + i) % 1000003"
NOTHING = "pass"


def taken(program: str, *, watched: bool, out: Path) -> float:
    """Seconds that a Python program takes with its output in a file."""
    command = [sys.executable, "-c", program]
    if watched:
        command = [sys.executable, "-m", "commcheck", "run", "--", *command]
    with out.open("wb") as file:
        begin = time.perf_counter()
        subprocess.run(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=file, check=True)
        return time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=40_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    programs = {
        "nothing": NOTHING,
        f"prints {args.lines} lines": PRINTS.format(lines=args.lines, i="{i}"),
        "computes": COMPUTES.format(steps=args.steps),
    }
    seconds: dict[tuple[str, bool], list[float]] = {(name, w): [] for name in programs for w in (False, True)}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for name, program in programs.items():
                for watched in (turn % 2 == 0, turn % 2 == 1):
                    seconds[name, watched].append(taken(program, watched=watched, out=Path(folder) / "out"))
    median = {key: statistics.median(found) for key, found in seconds.items()}
    start = median["nothing", True] - median["nothing", False]
    print(f"commcheck's own start and end: {start * 1000:.0f} ms")
    worst = 0.0
    for name in list(programs)[1:]:
        bare, under = median[name, False], median[name, True]
        cost = (under - start) / bare - 1
        worst = max(worst, cost)
        print(
            f"{name}: bare {bare:.2f} s, under commcheck run {under:.2f} s; without the start {cost:+.1%} (expected < {EXPECTED:.0%})"
        )
    return 0 if worst < EXPECTED else 1


if __name__ == "__main__":
    sys.exit(main())
