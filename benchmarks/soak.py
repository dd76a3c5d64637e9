"""Thousands of worlds in a row, and what has grown by the end: `python benchmarks/soak.py [--worlds N] [--lab]`.

Three of four worlds are on this machine (a healthy one, a rank that is killed, a wrong interface), every fourth is between
virtual hosts that are used again. Counted before and after: processes, threads and open files of all processes of ours,
memory, namespaces, firewall rules, files in the temporary folder. Exit code 1 when something has grown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from commcheck.scenarios.load import parse  # noqa: E402
from commcheck.scenarios.run import Runner  # noqa: E402

EXPECT = {
    "healthy": """verdict = "healthy\"""",
    "rank-killed": """verdict = "unhealthy"\ncause = "rank-killed"\nsymptoms = ["train-communication-error", "perf-hang"]
ranks = [1]""",
    "interface-missing": """verdict = "unhealthy"\ncause = "interface-missing"\nsymptoms = ["setup-failure"]\nranks = [1]""",
}
KILL = """[[fault]]\nkind = "kill"\nrank = 1"""
IFNAME = """[ranks.1]\nenv = { GLOO_SOCKET_IFNAME = "eht0" }"""
DROP = """[lab]\n[[fault]]\nkind = "drop"\nhosts = [1]\nports = "22\""""
MEMORY_GROWTH = 1.15
"""Factor by which memory may grow after the first hundred worlds: Python's and the C library's arenas settle late."""


def scenario(body: str, expect: str) -> str:
    return f'title = "soak"\n{body}\n[expect]\n{EXPECT[expect]}\n'


WORLDS = (
    scenario("", "healthy"),
    scenario(KILL, "rank-killed"),
    scenario(IFNAME, "interface-missing"),
    scenario(DROP, "healthy"),
)


def family(root: int) -> list[int]:
    """`root` and all live processes below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found)
        found |= more


def kilobytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def census() -> dict[str, int]:
    ours = family(os.getpid())
    spaces = {str(Path(f"/proc/{p}/ns/net").readlink()) for p in ours}
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=False).stdout
    groups = [d for d in Path("/sys/fs/cgroup").rglob("commcheck-*") if d.is_dir()]
    return {
        "processes": len(ours),
        "threads": sum(len(list(Path(f"/proc/{p}/task").iterdir())) for p in ours),
        "open files": sum(len(list(Path(f"/proc/{p}/fd").iterdir())) for p in ours),
        "network namespaces": len(spaces),
        "firewall rules": len(rules.splitlines()),
        "control groups": len(groups),
        "temporary files": len(list(Path(tempfile.gettempdir()).glob("commcheck*"))),
        "shared memory": len(list(Path("/dev/shm").iterdir())),
        "kilobytes": sum(map(kilobytes, ours)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=5000, metavar="N", help="how many (default: 5000)")
    args = parser.parse_args()
    made = [parse(text, "soak") for text in WORLDS]
    wrong: list[str] = []
    with Runner() as runner:
        before: dict[str, int] = {}
        begin = time.perf_counter()
        for number in range(args.worlds):
            if number == min(100, args.worlds // 2):
                before = census()  # after the first worlds: what is made once and kept is there by then
            row = runner.run("soak", made[number % len(made)])
            if row.problems or row.skipped:
                wrong.append(f"world {number}: {row.said}: {row.problems or row.skipped}")
        took = time.perf_counter() - begin
        after = census()
    print(f"{args.worlds} worlds in {took:.0f} s, {args.worlds / took:.1f} per second, {len(wrong)} not as expected")
    for line in wrong[:10]:
        print(f"  {line}")
    grown = False
    for name, value in after.items():
        allowed = before[name] * MEMORY_GROWTH if name == "kilobytes" else before[name]
        grown |= value > allowed
        print(f"  {name:<20} {before[name]:>9} -> {value:>9}{'   GREW' if value > allowed else ''}")
    return 1 if grown or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
