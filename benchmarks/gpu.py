"""Everything that commcheck says of NCCL, tried on a machine with a GPU, in one run: `python benchmarks/gpu.py`.

Prints a table: the machine; worlds of many ranks on one GPU (NCCL_HOSTID makes each rank a host of its own, so that NCCL
joins them over sockets); transports forced one by one, with what NCCL's own log says of them; bus bandwidth beside that of a
copy; the scenarios of scenarios/nccl; and what a preflight's NCCL part costs beside a bare NCCL initialisation and
all-reduce. Each part is a process of its own with an end of its own: one that fails is a row of the table and stops no
other. Ends within --seconds (default 540). `--only NAME ...` chooses parts, `--json FILE` leaves the rows there.

Exit code 0: all that was tried is as expected; 1: something is not; 3: there is no GPU here, or no torch that could use one.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
WORLD = str(ROOT / "benchmarks" / "gpu_world.py")
NO_GPU = 3
OVERHEAD = 1.10  # of a bare NCCL init and all-reduce
ROUNDS = 11  # of what is compared, in turns
OF_A_WORLD = 90.0  # seconds: CUDA and NCCL start in a few, and what stands still must not take the others' time
OF_THE_SCENARIOS = 240.0
REFUSES = ("Duplicate GPU detected", "using the same GPU")  # until 2.28, and since
SOCKETS = {"NCCL_SOCKET_IFNAME": "lo", "NCCL_NET": "Socket", "NCCL_IB_DISABLE": "1"}


class Row(NamedTuple):
    """A line of the table. `good`: as expected (None: a figure that nothing is expected of, or not tried)."""

    part: str
    what: str
    result: str
    good: bool | None = None


class World(NamedTuple):
    """What came of a bare world."""

    ranks: list[dict[str, Any]]
    log: str
    seconds: float

    @property
    def error(self) -> str:
        """The first that a rank said, or that one said nothing."""
        said = [str(r["error"]) for r in self.ranks if "error" in r]
        return said[0][:120] if said else "" if self.ranks else "no rank has said anything"

    def longest(self, name: str) -> float:
        return max(float(r[name]) for r in self.ranks)

    @property
    def ways(self) -> str:
        """By what NCCL connected the ranks, as its log has it."""
        from commcheck.diagnose.ingest.nccl_reading import read
        from commcheck.model.case import LogLine

        lines = [LogLine(source="log", number=n, text=t) for n, t in enumerate(self.log.splitlines(), 1)]
        return ", ".join(sorted({c.via for c in read(lines).connections})) or "not said"


class Machine(NamedTuple):
    """What the parts need to know."""

    end: float
    gpus: int
    copy: float
    environment: Mapping[str, str]

    @property
    def left(self) -> float:
        return self.end - time.monotonic()


# --- bare worlds -----------------------------------------------------------------------------------------------


def free_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return str(held.getsockname()[1])


def world(
    machine: Machine, size: int, settings: Mapping[str, str], *, one_gpu: bool, hosts: bool, what: str = "world"
) -> World:
    """Run a bare world. `one_gpu`: all ranks on GPU 0; `hosts`: each is a host of its own."""
    port, began = free_port(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="commcheck-gpu-") as folder:
        started = []
        for rank in range(size):
            own = {
                **machine.environment, "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": "0" if one_gpu else str(rank),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET,P2P,SHM,GRAPH,ENV",
                "NCCL_DEBUG_FILE": os.path.join(folder, f"{rank}.log"), **({"NCCL_HOSTID": f"host-{rank}"} if hosts else {}), **settings,
            }  # fmt: skip
            started.append(
                subprocess.Popen(
                    [sys.executable, WORLD, what], env=own, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            )
        ranks = [_said(process, began + min(OF_A_WORLD, max(1.0, machine.left))) for process in started]
        log = "\n".join(
            Path(name).read_text(errors="replace") for name in sorted(glob.glob(os.path.join(folder, "*.log")))
        )
    return World(ranks, log, time.monotonic() - began)


def _said(process: subprocess.Popen[str], end: float) -> dict[str, Any]:
    try:
        out, _ = process.communicate(timeout=max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"error": "it stood still and was ended"}
    try:
        return dict(json.loads(out.strip().splitlines()[-1]))
    except (IndexError, ValueError):
        return {"error": f"it ended with {process.returncode} and said nothing"}


def bandwidth(found: World, size: int) -> dict[int, float]:
    """Bus bandwidth in bytes per second, by bytes of the tensor, as nccl-tests count it: 2 (n - 1) / n of them per rank."""
    return {
        int(count): 2 * (size - 1) / size * int(count) / max(float(r["sizes"][count]) for r in found.ranks)
        for count in found.ranks[0]["sizes"]
    }


def figures(found: World, size: int) -> str:
    if found.error:
        return found.error
    rates = ", ".join(f"{rate / 1e9:.2f} GB/s at {count >> 20} MiB" for count, rate in bandwidth(found, size).items())
    return f"init {found.longest('init'):.2f} s, first {found.longest('first'):.2f} s; bus {rates or 'not measured'}; {found.ways}"


def well(found: World) -> bool:
    return not found.error and all(r["right"] for r in found.ranks)


# --- the parts -------------------------------------------------------------------------------------------------


def many_on_one(machine: Machine) -> Iterator[Row]:
    """Many ranks on one GPU."""
    for size in (2, 4, 8):
        found = world(machine, size, SOCKETS, one_gpu=True, hosts=True)
        yield Row(
            "many on one GPU", f"{size} ranks, NCCL_HOSTID, sockets over lo", figures(found, size), good=well(found)
        )
    refused = world(machine, 2, SOCKETS, one_gpu=True, hosts=False, what="bare")
    told = any(words in refused.log for words in REFUSES)
    text = "refused: NCCL names the GPU that both use" if told else figures(refused, 2)
    yield Row("many on one GPU", "2 ranks, one host: to be refused", text, good=told and not well(refused))
    allowed = world(machine, 2, {"NCCL_MULTI_RANK_GPU_ENABLE": "1"}, one_gpu=True, hosts=False, what="bare")
    yield Row("many on one GPU", "2 ranks, NCCL_MULTI_RANK_GPU_ENABLE=1 (NCCL 2.30 and later)", figures(allowed, 2))


def transports(machine: Machine) -> Iterator[Row]:
    """Transports forced one by one."""
    ways: dict[str, tuple[dict[str, str], str]] = {
        "as NCCL chooses": ({}, ""),
        "without P2P": ({"NCCL_P2P_DISABLE": "1"}, "SHM"),
        "without SHM": ({"NCCL_SHM_DISABLE": "1"}, ""),
        "without P2P and SHM": ({"NCCL_P2P_DISABLE": "1", "NCCL_SHM_DISABLE": "1", **SOCKETS}, "NET/Socket"),
    }
    if machine.gpus < 2:
        found = world(machine, 2, SOCKETS, one_gpu=True, hosts=True)
        yield Row(
            "transports",
            "NET/Socket between two ranks of one GPU",
            figures(found, 2),
            good=well(found) and "NET/Socket" in found.ways,
        )
        yield Row("transports", "P2P and SHM", "not tried: they need two GPUs, and here is one")
        return
    for name, (settings, wanted) in ways.items():
        found = world(machine, machine.gpus, settings, one_gpu=False, hosts=False)
        yield Row(
            "transports",
            f"{machine.gpus} GPUs, {name}",
            figures(found, machine.gpus),
            good=well(found) and wanted in found.ways,
        )


def limits(machine: Machine) -> Iterator[Row]:
    """Bus bandwidth beside what the device can do."""
    size = max(2, machine.gpus)
    found = world(machine, size, {} if machine.gpus > 1 else SOCKETS, one_gpu=machine.gpus < 2, hosts=machine.gpus < 2)
    if found.error:
        yield Row("bandwidth", f"{size} ranks", found.error, good=False)
        return
    best = max(bandwidth(found, size).values())
    text = f"{best / 1e9:.2f} GB/s on the bus, {machine.copy / 1e9:.0f} GB/s for a copy in the GPU's memory ({best / machine.copy:.4f} of it)"
    yield Row("bandwidth", f"{size} ranks, {found.ways}", text, good=best < machine.copy)


def scenarios(machine: Machine) -> Iterator[Row]:
    """The scenarios of scenarios/nccl."""
    command = [
        sys.executable,
        "-m",
        "commcheck",
        "scenario",
        "run",
        "nccl",
        "--jobs",
        "1",
        "--quiet",
        "--format",
        "json",
    ]
    done = subprocess.run(
        command,
        env=dict(machine.environment),
        capture_output=True,
        text=True,
        timeout=min(OF_THE_SCENARIOS, max(1.0, machine.left)),
        cwd=ROOT,
    )
    try:
        rows = json.loads(done.stdout)["scenarios"]
    except (ValueError, KeyError, TypeError):
        yield Row(
            "scenarios",
            "all",
            (done.stderr or done.stdout).strip()[-200:] or f"ended with {done.returncode}",
            good=False,
        )
        return
    for row in rows:
        if row["skipped"]:
            yield Row("scenarios", row["name"], f"not tried: {row['skipped']}")
            continue
        text = f"{row['verdict']}: {row['said']} on ranks {row['ranks']}, {row['seconds']:.1f} s"
        yield Row("scenarios", row["name"], "; ".join((text, *row["problems"])), good=not row["problems"])


def overhead(machine: Machine) -> Iterator[Row]:
    """A preflight's NCCL part against a bare initialisation and all-reduce, in turns."""
    size = max(2, machine.gpus)
    one = machine.gpus < 2
    bare: list[float] = []
    ours: list[float] = []
    whole: list[float] = []
    for number in range(ROUNDS + 1):
        if machine.left < 20:
            break
        found = world(machine, size, SOCKETS if one else {}, one_gpu=one, hosts=one, what="bare")
        began = time.monotonic()
        part = _preflight(machine, size, one=one)
        if found.error or isinstance(part, str):
            yield Row("overhead", f"{size} ranks", found.error or str(part), good=False)
            return
        if number:  # the first round warms the file cache
            bare.append(found.longest("init") + found.longest("first"))
            ours.append(part)
            whole.append(time.monotonic() - began)
    if not bare:
        yield Row("overhead", f"{size} ranks", "not tried: no time was left")
        return
    ratio = statistics.median(ours) / statistics.median(bare)
    text = (
        f"NCCL part {statistics.median(ours):.3f} s, bare {statistics.median(bare):.3f} s: {ratio:.2f} times "
        f"(expected under {OVERHEAD}); the whole preflight {statistics.median(whole):.1f} s; {len(bare)} rounds in turns"
    )
    yield Row("overhead", f"{size} ranks", text, good=ratio < OVERHEAD)


def _preflight(machine: Machine, size: int, *, one: bool) -> float | str:
    """Seconds of the phases `group` and `first-collective`, of the slowest rank; or what went wrong."""
    command = [
        sys.executable,
        "-m",
        "commcheck",
        "preflight",
        "--backend",
        "nccl",
        "--world-size",
        str(size),
        "--no-fix",
        "--quiet",
        "--format",
        "json",
    ]
    if one:
        for name, value in {**SOCKETS, "LOCAL_RANK": "0"}.items():
            command += ["--env", f"{name}={value}"]
        for rank in range(size):
            command += ["--rank-env", f"{rank}:NCCL_HOSTID=host-{rank}"]
    done = subprocess.run(
        command, env=dict(machine.environment), capture_output=True, text=True, timeout=OF_A_WORLD, cwd=ROOT
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return f"preflight ended with {done.returncode}: {done.stderr.strip()[-160:]}"
    if report["verdict"] != "healthy":
        causes = ", ".join(d["cause"] for d in report["diagnoses"])
        return f"preflight says {report['verdict']}: {causes or 'nothing'}"
    by_rank: dict[int, float] = {}
    for phase in report["phases"]:
        if phase["phase"] in ("group", "first-collective"):
            by_rank[phase["rank"]] = by_rank.get(phase["rank"], 0.0) + phase["seconds"]
    return max(by_rank.values()) if by_rank else "the report has no phases"


PARTS: dict[str, Callable[[Machine], Iterator[Row]]] = {
    "many": many_on_one,
    "overhead": overhead,
    "transports": transports,
    "bandwidth": limits,
    "scenarios": scenarios,
}


# --- the table -------------------------------------------------------------------------------------------------


def look(environment: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """What torch sees of the machine, or why that is nothing."""
    if not glob.glob("/dev/nvidia[0-9]*"):
        return {}, "no GPU is here: there is no /dev/nvidia0"
    done = subprocess.run(
        [sys.executable, WORLD, "devices"], env=dict(environment), capture_output=True, text=True, timeout=OF_A_WORLD
    )
    try:
        found = dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (IndexError, ValueError):
        return {}, f"torch cannot be asked: {done.stderr.strip()[-200:]}"
    if "error" in found:
        return {}, f"torch cannot be asked: {found['error']}"
    if not found["gpus"]:
        return found, f"torch {found['torch']} sees no GPU (built for CUDA {found['cuda']})"
    return found, "" if found["nccl"] else f"torch {found['torch']} has no NCCL"


def environment() -> dict[str, str]:
    """This process's, without settings of NCCL's: they would be measured too."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NCCL_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}


def tried(part: str, machine: Machine) -> list[Row]:
    """A part's rows; what stops it is a row too."""
    rows: list[Row] = []
    if machine.left < 10:
        return [Row(part, "all", "not tried: no time was left")]
    try:
        for row in PARTS[part](machine):
            rows.append(row)
            show(row)
    except Exception as e:
        rows.append(Row(part, "the part itself", f"{type(e).__name__}: {e}"[:200], good=False))
        show(rows[-1])
    return rows


def show(row: Row) -> None:
    mark = {True: "ok  ", False: "MISS", None: "    "}[row.good]
    print(f"{mark} {row.part:<16} {row.what:<58} {row.result}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=540.0, help="in which all must be done (default: 540)")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts (default: all)")
    parser.add_argument("--json", metavar="FILE", help="leave the rows there")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    settings = environment()
    found, why_not = look(settings)
    if why_not:
        print(f"nothing was measured: {why_not}")
        return NO_GPU
    sys.path.insert(0, str(ROOT))
    machine = Machine(end, len(found["gpus"]), float(found["copy"]), settings)
    rows = [
        Row("machine", ", ".join(dict.fromkeys(found["gpus"])), f"{machine.gpus} GPU(s), torch {found['torch']}, NCCL {found['nccl']}, CUDA {found['cuda']}"),
        Row("machine", "copy within the GPU's memory", f"{machine.copy / 1e9:.0f} GB/s, read and written"),
        Row("machine", "GPUs that reach each other", str(sum(map(bool, found["peers"].values()))) + f" of {len(found['peers'])} directions"),
    ]  # fmt: skip
    for row in rows:
        show(row)
    for part in args.only:
        rows += tried(part, machine)
    if args.json:
        Path(args.json).write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    missed = [row for row in rows if row.good is False]
    print(
        f"\n{sum(row.good is True for row in rows)} as expected, {len(missed)} not, {sum(row.good is None for row in rows)} figures or not tried"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
