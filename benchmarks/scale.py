"""`commcheck diagnose DIR` on the reports of many ranks: `python benchmarks/scale.py [--ranks 64 1024 16384 100000]`.

The reports are those of a real world of four ranks on four virtual hosts (network namespaces: needs root), once healthy and
once with rank 2 killed. Rank 0's report stays one; those of the others are replicated, each with ranks, host, addresses,
kernel's network and process of its own, until the world has as many ranks as wanted, every one on a host of its own. The
killed rank stays one too. What a rank tells of its peers (probes, pairs, sockets) is as much as in the small world, and is
told of peers in its own group of four; a real gloo world of 16,384 ranks would have as many sockets per rank, which NCCL
has not.

Time is the processor time of the whole command, memory its largest. Exit code 1 when a verdict is wrong, when either grows
faster than the ranks (by 1.3 and more from one size to the next that is at least 1,024), or when 16,384 ranks take more than
30 s or 2 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from commcheck.lab import Lab  # noqa: E402
from commcheck.model.topology import Topology  # noqa: E402
from commcheck.runtime.reports import ROLL_FROM, roll_of  # noqa: E402

SMALL = 4
BAD = 2
SIZES = (64, 1024, 16_384, 100_000)
FASTER = 1.3
SECONDS, MEGABYTES = 30.0, 2048.0
_NUMBER = 700_000_000
"""From here on, numbers stand for ranks and processes in a form."""


class Form(NamedTuple):
    """A small world's report as text in which its ranks, hosts and addresses are marks; and the wholes of the numbers."""

    texts: tuple[str, ...]
    healthy: bool


def small_world(directory: Path, *options: str) -> list[dict[str, Any]]:
    """The reports of four joined ranks."""
    with Lab(Topology(hosts=SMALL)) as lab:
        base = {**os.environ, "WORLD_SIZE": str(SMALL), "MASTER_ADDR": lab[0].address, "MASTER_PORT": "29500"}
        words = [sys.executable, "-m", "commcheck", "preflight", "--quiet", "--join-deadline", "20"]
        running = [
            lab[rank].popen(
                [*words, "--report-dir", str(directory), *options],
                env={**base, "RANK": str(rank)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for rank in range(SMALL)
        ]  # fmt: skip
        for process in running:
            process.wait()
    found = [json.loads(path.read_text()) for path in directory.glob("rank-*.json")]
    return sorted(found, key=lambda r: r["rank"]["rank"])


def form(reports: list[dict[str, Any]], *, healthy: bool) -> Form:
    """Put marks where a rank, a host or an address is named."""
    addresses = {f"10.77.0.{10 + rank}": rank for rank in range(SMALL)}
    pattern = re.compile(r"\b10\.77\.0\.1[0-3]\b")
    texts = []
    for rank, report in enumerate(reports):
        own = report["rank"]
        own["members"] = [_NUMBER + 90] if own["members"] else []
        own["pid"], own["rank"], own["slot"] = _NUMBER + 10 + rank, _NUMBER + rank, 0
        own["world_size"] = report["world"]["size"] = _NUMBER + 80
        own["environment"] |= {"RANK": f"@R{rank}@", "WORLD_SIZE": "@N@"}
        for row in (*own["probes"], *own["pairs"], *own["collectives"]):
            for name in ("peer_rank", "peer"):
                if row.get(name) is not None:
                    row[name] += _NUMBER
        for row in own["published"]:
            row["rank"] += _NUMBER
        own["tries"], own["waits_for"] = ([_NUMBER + r for r in own[name]] for name in ("tries", "waits_for"))
        own["host"] = report["host"]["host"] = report["host"]["hostname"] = f"@H{rank}@"
        report["host"]["identity"] = f"@I{rank}@"
        report["roll"] = "@ROLL@" if rank and own["members"] else ""
        text = json.dumps(report).replace(f"rank {rank} of {SMALL}", f"rank @R{rank}@ of @N@")
        text = text.replace(f'"h{rank}"', f'"@H{rank}@"').replace(f"{SMALL} member(s)", "@N@ member(s)")
        # One network for all: each host has its address in it, and its hardware's.
        text = text.replace("10.77.0.0/24", "10.64.0.0/10").replace('"prefix": 24', '"prefix": 10')
        text = pattern.sub(lambda m: f"@A{addresses[m.group()]}@", text)
        text = re.sub(r'"mac": "(?!00:00)[0-9a-f:]+"', f'"mac": "@M{rank}@"', text)
        texts.append(re.sub(r"fe80::[0-9a-f:]+%", f"fe80::@L{rank}@%", text))
    return Form(tuple(texts), healthy)


def fill(directory: Path, made: Form, ranks: int) -> None:
    """The report directory of a large world."""
    members = tuple((rank, 1000 + rank) for rank in range(ranks))
    whole = json.dumps(members)[1:-1]
    roll = roll_of(members)
    for rank in range(ranks):
        # Groups of four that share rank 0; in each, the killed rank's place is taken by its neighbour but in the first.
        place = 0 if rank == 0 else 1 + (rank - 1) % (SMALL - 1)
        first = rank - place if rank else 0
        kind = place if made.healthy or place != BAD or rank == BAD else BAD + 1
        text = made.texts[kind]
        told = rank == 0 or ranks < ROLL_FROM
        text = text.replace(str(_NUMBER + 90), whole if told else "").replace("@ROLL@", "" if told else roll)
        text = text.replace(str(_NUMBER + 80), str(ranks)).replace("@N@", str(ranks))
        for other in range(SMALL):
            # What a neighbour's report says of itself is now said by this rank, and the other way round.
            seat = other if kind == place else {kind: place, place: kind}.get(other, other)
            number = first + seat if other else 0
            for mark, value in (
                (str(_NUMBER + other), str(number)), (str(_NUMBER + 10 + other), str(1000 + number)),
                (f"@R{other}@", str(number)), (f"@H{other}@", f"n{number:06d}"), (f"@A{other}@", address(number)),
                (f"@I{other}@", hashlib.sha256(str(number).encode()).hexdigest()[:24]),
                (f"@M{other}@", f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"),
                (f"@L{other}@", f"{number >> 16:x}:{number & 65535:x}"),
            ):  # fmt: skip
                text = text.replace(mark, value)
        (directory / f"rank-{rank}-n{rank:06d}-{1000 + rank}.json").write_text(text)


def address(number: int) -> str:
    """One of 10.64.0.0/10."""
    return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Run(NamedTuple):
    """One `commcheck diagnose`."""

    seconds: float
    wall: float
    megabytes: float
    verdict: str
    lead: str


def diagnose(directory: Path, form: str) -> Run:
    """Run it, in a process of its own whose parent has no other child."""
    out = directory.parent / "report.json"
    words = (sys.executable, "-m", "commcheck", "diagnose", str(directory), "--quiet", "--format", form)
    code = (
        "import json,resource,subprocess,sys;"
        "done=subprocess.run(sys.argv[2:],stdout=open(sys.argv[1],'wb'));u=resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(json.dumps([u.ru_utime+u.ru_stime,u.ru_maxrss/1024,done.returncode]))"
    )
    begin = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", code, str(out), *words], env=environment, stdout=subprocess.PIPE, check=True
    )
    wall = time.perf_counter() - begin
    seconds, megabytes, returned = json.loads(told.stdout)
    lead = ""
    if form == "json":
        report = json.loads(out.read_bytes())
        lead = " ".join(f"{d['cause']} {d['ranks'][:3]}" for d in report["diagnoses"][:1])
    verdict = {0: "healthy", 1: "unhealthy", 3: "inconclusive"}.get(returned, f"exit code {returned}")
    return Run(seconds, wall, megabytes, verdict, lead)


def main() -> int:
    """Make the worlds, diagnose them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=SIZES)
    parser.add_argument("--format", default="json", help="form of the report (default: json)")
    parser.add_argument("--directory", help="make the reports in there, and leave them")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    wrong = []
    top = Path(args.directory or tempfile.mkdtemp(prefix="commcheck-scale-"))
    try:
        forms = {}
        for name, options in (("healthy", ()), ("killed", ("--inject", f"{BAD}:kill@verify"))):
            here = top / f"small-{name}"
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir(parents=True)
            forms[name] = form(small_world(here, *options), healthy=name == "healthy")
        print(f"{'ranks':>8}  {'world':<8} {'cpu s':>8} {'clock s':>8} {'MB':>8}  verdict")
        for name, made in forms.items():
            before: tuple[int, Run] | None = None
            for ranks in args.ranks:
                here = top / f"{name}-{ranks}"
                if not here.exists():
                    here.mkdir()
                    fill(here, made, ranks)
                run = diagnose(here, args.format)
                print(f"{ranks:>8}  {name:<8} {run.seconds:8.1f} {run.wall:8.1f} {run.megabytes:8.0f}  {run.verdict} {run.lead}",
                      flush=True)  # fmt: skip
                wrong += judged(name, ranks, run, before, args.format)
                before = (ranks, run)
                if not args.directory:
                    shutil.rmtree(here)
    finally:
        if not args.directory:
            shutil.rmtree(top)
    for text in wrong:
        print(f"MISSED: {text}")
    return 1 if wrong else 0


def judged(name: str, ranks: int, run: Run, before: tuple[int, Run] | None, form: str) -> list[str]:
    """What is not as it has to be."""
    wrong = []
    # A healthy world may have weak findings: 16,384 ranks need more open files than four did.
    wanted = ("healthy", "") if name == "healthy" else ("unhealthy", f"rank-killed [{BAD}]")
    if run.verdict != wanted[0] or (form == "json" and name != "healthy" and run.lead != wanted[1]):
        wrong.append(f"{ranks} ranks, {name}: {run.verdict} {run.lead}")
    if ranks == 16_384 and (run.seconds > SECONDS or run.megabytes > MEGABYTES):
        wrong.append(f"{ranks} ranks, {name}: more than {SECONDS:g} s or {MEGABYTES:g} MB")
    if before is not None and before[0] >= 1024:
        more = ranks / before[0] * FASTER
        for what, now, then in (
            ("time", run.seconds, before[1].seconds),
            ("memory", run.megabytes, before[1].megabytes),
        ):
            if now > then * more:
                wrong.append(f"{name}: {what} grows by {now / then:.1f} from {before[0]} ranks to {ranks}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
