"""commcheck beside what one would use instead, in one run: `python benchmarks/run.py [--quick] [--only GROUP]`.

Contenders take turns, so that a busy moment of the machine hits all of them. Printed are medians and their ratio; the
seconds are this machine's, the ratios carry over. Exit code 1 when a ratio misses what is expected of it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = str(ROOT / "benchmarks" / "bare_allreduce.py")
sys.path.insert(0, str(ROOT))

from commcheck import api  # noqa: E402
from commcheck.model.diagnosis import Verdict  # noqa: E402
from commcheck.planner import local_plan  # noqa: E402
from commcheck.runtime.launcher import Launcher  # noqa: E402

CLONE_NEWNET = 0x40000000  # linux/sched.h

Contender = Callable[[], None]

# As a user starts it: the command beside the interpreter, where commcheck is installed there.
INSTALLED = Path(sys.executable).with_name("commcheck")
COMMCHECK = (str(INSTALLED),) if INSTALLED.exists() else (sys.executable, "-m", "commcheck")

# The launcher's variables would make a preflight join somebody's world. One thread per rank, for all contenders.
DROPPED = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "GLOO_SOCKET_IFNAME"}
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in DROPPED}
ENVIRONMENT |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
# torch asks for the name of every address that connects to its store. A name server that loses one question in a hundred
# would cost any contender five seconds by chance: for all of them it is one.
ENVIRONMENT |= {"RES_OPTIONS": "timeout:1 attempts:1"}


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def command(*words: str) -> None:
    done = subprocess.run(words, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def judged(*words: str) -> None:
    """A command whose exit code is a verdict on this machine, not a failure of the run."""
    done = subprocess.run(words, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def torchrun(size: int) -> None:
    port = free_port()
    where = ("--nnodes", "1", "--nproc-per-node", str(size), "--master-addr", "127.0.0.1", "--master-port", port)
    command(sys.executable, "-m", "torch.distributed.run", *where, SCRIPT)


def spawn(size: int) -> None:
    command(sys.executable, SCRIPT, str(size), free_port())


def world(launcher: Launcher, size: int) -> None:
    """One warm world, from the call to the end of its last process, checked to have come through."""
    plan = local_plan(
        size=size, base=ENVIRONMENT, master_addr="127.0.0.1", master_port=int(free_port()), workload="bare"
    )
    with launcher.start(plan) as running:
        until = time.monotonic() + 60
        while running.alive and time.monotonic() < until:
            running.pump(until)
        running.drain()
        if running.alive or any(rank.failed for rank in running.ranks):
            raise SystemExit("a warm world failed")


def measure(contenders: dict[str, Contender], rounds: int) -> dict[str, float]:
    """Median seconds of each; the order is turned round every time, after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name in sorted(contenders, reverse=number % 2 == 1):
            begin = time.perf_counter()
            contenders[name]()
            if number:
                taken[name].append(time.perf_counter() - begin)
    for name, values in taken.items():
        spread = f"{min(values):.3f} .. {max(values):.3f}"
        print(f"  {name:<34} {statistics.median(values):8.3f} s   ({spread}, {rounds} times)")
    return {name: statistics.median(values) for name, values in taken.items()}


class Scores:
    """The ratios and whether each is as expected."""

    def __init__(self) -> None:
        self.missed = 0

    def ratio(self, text: str, value: float, *, at_least: float = 0.0, at_most: float = float("inf")) -> None:
        good = at_least <= value <= at_most
        self.missed += not good
        bound = f"at least {at_least:g}" if at_least else f"at most {at_most:g}"
        print(f"  -> {text}: {value:.2f}   (expected {bound}){'' if good else '   MISSED'}")


def worlds(scores: Scores, rounds: int) -> None:
    with Launcher(ENVIRONMENT) as launcher:
        launcher.begin()
        launcher.warm()
        print(f"(torch imported once, in {launcher.import_seconds:.2f} s: not counted below)")
        for size in (2, 4):
            print(f"\na world of {size} ranks, one all-reduce")
            ours, run, spawned = "commcheck, warm", "torchrun", "torch.multiprocessing.spawn"
            times = measure(
                {
                    ours: lambda size=size: world(launcher, size),
                    run: lambda size=size: torchrun(size),
                    spawned: lambda size=size: spawn(size),
                },
                rounds,
            )
            scores.ratio("torchrun / commcheck", times[run] / times[ours], at_least=50)
            scores.ratio("spawn / commcheck", times[spawned] / times[ours], at_least=30)


def preflight(scores: Scores, rounds: int) -> None:
    print("\na whole preflight of 2 ranks (import of torch, probes, 13 collectives, verdict), cold")
    ours, run = "commcheck preflight", "torchrun, one all-reduce"
    arguments = ("preflight", "--local", "--world-size", "2", "--backend", "gloo", "--quiet")
    times = measure(
        {ours: lambda: judged(*COMMCHECK, *arguments), run: lambda: torchrun(2)},
        rounds,
    )
    scores.ratio("commcheck preflight / torchrun", times[ours] / times[run], at_most=0.7)


def startup(scores: Scores, rounds: int) -> None:
    print("\nstart-up of the light commands")
    empty = "python -c pass"
    verbs = {"--help": ["--help"], "lint": ["lint"], "explain": ["explain", "port-dropped"]}
    contenders: dict[str, Contender] = {empty: lambda: command(sys.executable, "-c", "pass")}
    for name, words in verbs.items():
        contenders[f"commcheck {name}"] = lambda words=words: judged(*COMMCHECK, *words)
    times = measure(contenders, rounds)
    for name in verbs:
        scores.ratio(f"commcheck {name} / empty interpreter", times[f"commcheck {name}"] / times[empty], at_most=6)


def own_network() -> str:
    """Go on in a network without a name server, where root may make one: torch's store asks for the name of every address,
    and hundreds of worlds would measure how many questions the machine's name server loses."""
    if os.geteuid() != 0 or ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        return "this machine's network and name server"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return "a network of their own, without a name server"


def sustained(seconds: float, workers: int, run: Callable[[Launcher], None]) -> float:
    """Worlds per second of several workers side by side, each with a warm process of its own."""
    done, ready, stop = [0] * workers, threading.Barrier(workers + 1), threading.Event()

    def work(number: int) -> None:
        with Launcher(ENVIRONMENT) as launcher:
            launcher.warm()
            ready.wait()
            while not stop.is_set():
                run(launcher)
                done[number] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    time.sleep(seconds)  # a rate is counted over a time, so here the time itself is what is waited for
    count, took = sum(done), time.perf_counter() - begin
    stop.set()
    for thread in threads:
        thread.join()
    return count / took


def checked(launcher: Launcher) -> None:
    """A whole warm preflight: every phase, 13 collectives with their values, the proof and the verdict."""
    plan = local_plan(size=2, base=ENVIRONMENT, master_addr="127.0.0.1", master_port=int(free_port()))
    report = api.preflight(plan, launcher=launcher)
    if report.verdict is not Verdict.HEALTHY:
        raise SystemExit(f"a healthy world was called {report.verdict}: {report.diagnoses[:1]}")


def throughput(scores: Scores, rounds: int) -> None:
    workers = os.cpu_count() or 2
    where = own_network()
    print(f"\nworlds of 2 ranks per second, sustained over {2 * rounds} s, {workers} workers, all in {where}")
    bare = sustained(2.0 * rounds, workers, lambda launcher: world(launcher, 2))
    print(f"  {'commcheck, one all-reduce':<34} {bare:8.1f} /s")
    whole = sustained(2.0 * rounds, workers, checked)
    print(f"  {'commcheck, a whole preflight':<34} {whole:8.1f} /s")
    begin = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda _: torchrun(2), range(2 * workers)))
    theirs = 2 * workers / (time.perf_counter() - begin)
    print(f"  {'torchrun, one all-reduce':<34} {theirs:8.2f} /s")
    scores.ratio("worlds per second", bare, at_least=20)
    scores.ratio("commcheck / torchrun", bare / theirs, at_least=30)


GROUPS: dict[str, tuple[Callable[[Scores, int], None], int, int]] = {
    "worlds": (worlds, 7, 2),
    "preflight": (preflight, 7, 2),
    "startup": (startup, 31, 9),
    "throughput": (throughput, 7, 2),
}
"""Group -> what it runs, rounds, rounds with --quick."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", choices=GROUPS, help="one group")
    args = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    scores = Scores()
    # Compiled modules are kept, as in any installation, whatever this shell or the checkout has.
    ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="commcheck-bench-") as cache:
        ENVIRONMENT["PYTHONPYCACHEPREFIX"] = cache
        run_groups(scores, args.only, quick=args.quick)
    return 1 if scores.missed else 0


def run_groups(scores: Scores, only: str | None, *, quick: bool) -> None:
    for name, (group, rounds, few) in GROUPS.items():
        if only in {None, name}:
            group(scores, few if quick else rounds)


if __name__ == "__main__":
    sys.exit(main())
