"""Form the world that the job would form, check it phase by phase, diagnose, try the fix.

Where RANK or WORLD_SIZE is set (torchrun sets both) it joins as that rank, one process per rank, with --report-dir DIR
for all of them. In a batch script or shell that has several hosts of Slurm it starts the ranks there by srun, and judges
once; with --on ray, on the nodes of a Ray cluster. Otherwise it starts a world on this machine. Exit codes: see
commcheck --help."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shlex
import socket
from collections.abc import Iterator, Mapping
from typing import TypeVar

from msgspec.structs import replace

from commcheck.cli.options import assignment, command, fault, gpu_count, namespace, of_rank
from commcheck.cli.output import add_output_arguments, check_output, emit, exit_code
from commcheck.cli.progress import Progress
from commcheck.engines.base import Allocation
from commcheck.errors import UsageError
from commcheck.model.case import Case
from commcheck.model.diagnosis import Report
from commcheck.model.plan import FaultAt, Place, Plan
from commcheck.planner import LAUNCHER_VARIABLES, local_plan
from commcheck.system.ports import held_port

T = TypeVar("T")

BACKENDS = ("auto", "gloo", "nccl", "cpu:gloo,cuda:nccl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `commcheck preflight`."""
    world = parser.add_argument_group("the world")
    world.add_argument(
        "--world-size", type=int, metavar="N", help="number of ranks (default: the number of GPUs, else 2)"
    )
    world.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="auto, gloo, nccl, or both: cpu:gloo,cuda:nccl (default: auto)",
    )
    world.add_argument(
        "--env", action="append", default=[], metavar="K=V", help="set a variable for all ranks; repeatable"
    )
    world.add_argument(
        "--rank-env", action="append", default=[], metavar="R:K=V", help="set a variable for rank R alone; repeatable"
    )
    world.add_argument("--master-addr", metavar="HOST", help="the store's host (default: MASTER_ADDR, else 127.0.0.1)")
    world.add_argument(
        "--master-port", type=int, metavar="PORT", help="the store's port (default: MASTER_PORT, else a free one)"
    )
    world.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="timeout of store and collectives, as the job would set it (torch's own: 1800)",
    )
    world.add_argument(
        "--netns", action="append", default=[], metavar="R:NAME", help="run rank R in that network namespace"
    )
    world.add_argument(
        "--inject",
        action="append",
        default=[],
        metavar="R:FAULT[@PHASE][=ARG]",
        help="make a fault on purpose, to see what commcheck says: kill, segv, exit, stop, other-shape, ... (a wrong name "
        "lists all), in PHASE (default: verify); repeatable",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--no-fix", action="store_true", help="do not try the fixes")
    how.add_argument(
        "--deadline", type=float, metavar="S", help="give up after this time even if the world still moves"
    )
    how.add_argument("--local", action="store_true", help="start a local world although a launcher's variables are set")
    how.add_argument(
        "--on",
        metavar="ENGINE",
        help="start the ranks through ENGINE: ray, kubernetes; Slurm in a batch script or under salloc (which needs no --on)",
    )
    how.add_argument(
        "--nodes",
        type=int,
        metavar="N",
        help="with --on: hosts, or pods (default: all that there are, or one per rank)",
    )
    how.add_argument(
        "--image", metavar="IMAGE", help="with --on kubernetes: what the pods run, commcheck and your torch"
    )
    how.add_argument(
        "--pod",
        metavar="FILE",
        help="with --on kubernetes: the manifest of your own job (a Pod, or what has a pod template): its image, variables, "
        "networks, node selectors and volumes are taken from it",
    )
    how.add_argument(
        "--report-dir", metavar="DIR", help="leave each rank's report there; commcheck diagnose DIR merges them"
    )
    how.add_argument(
        "--report-to",
        choices=("stdout",),
        help="under a launcher: each rank's report as records on standard output, which commcheck diagnose finds in the "
        "launcher's output; no shared directory is needed",
    )
    how.add_argument("--save", metavar="FILE", help="save the world as a bundle: commcheck replay FILE runs it again")
    how.add_argument(
        "--join-deadline", type=float, metavar="S", help="how long a joining rank waits for the others (default: 60)"
    )
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run a preflight; returns the exit code of its verdict."""
    check_output(args)
    _check(args)
    if joins(os.environ) and not args.local:
        if args.save is not None:
            advice = "give --report-dir DIR on all ranks, then: commcheck replay DIR --save FILE"
            raise UsageError(f"--save {args.save}: one rank does not know the whole world: {advice}")
        from commcheck.cli.join import run as join

        return join(args)
    if (held := _held(args)) is not None:
        from commcheck.cli.drive import run as drive

        return drive(args, held)
    if args.report_to is not None:
        raise UsageError(
            "--report-to stdout: no launcher's variables are set here, so there is but one report: leave it out"
        )
    if (
        alone := next((name for name in ("nodes", "image", "pod") if getattr(args, name) is not None), None)
    ) is not None:
        raise UsageError(f"--{alone}: only for ranks that an engine starts: give --on ENGINE too")
    from commcheck import api
    from commcheck.runtime.watch import WORLD_DEADLINE, Terms

    if args.report_dir is not None:
        from commcheck.runtime.reports import check_directory

        check_directory(args.report_dir)
    if args.save is not None:
        from commcheck.replay.file import check_target

        check_target("--save", args.save)
    progress = Progress(quiet=args.quiet)
    cases: list[Case] = []

    def early(report: Report) -> None:
        lead = report.diagnoses[0]
        seconds = report.world.seconds if report.world else 0.0
        progress.say(f"found after {seconds:.1f} s: {lead.title} [{lead.cause}]")

    with plan(args, os.environ) as planned:
        report = api.preflight(
            planned,
            command=command(),
            try_fixes=not args.no_fix,
            terms=Terms(deadline=args.deadline or WORLD_DEADLINE),
            progress=progress.say,
            first=early,
            keep=functools.partial(_keep, args.report_dir, progress, cases),
        )
    if args.save is not None:
        report = _saved(args.save, planned, cases[0], report)
    progress.done()
    emit(report, args)
    return exit_code(report.verdict, args.format)


def _saved(path: str, planned: Plan, case: Case, report: Report) -> Report:
    """Save the world; its report then names the file."""
    from commcheck.replay.bundle import bundle_of
    from commcheck.replay.file import save

    report = replace(report, replay=shlex.join(("commcheck", "replay", path)))
    save(bundle_of(planned, case, report, origin="preflight"), path)
    return report


def _keep(directory: str | None, progress: Progress, cases: list[Case], case: Case) -> None:
    cases.append(case)
    if directory is None:
        return
    from commcheck.runtime.reports import write_world

    failed = write_world(directory, case)
    if failed:
        progress.say(failed)


def joins(environ: Mapping[str, str]) -> bool:
    """Somebody has started this process as one rank of a world. One variable is enough: that the other is missing is
    then a fault to be found, and a healthy world of our own would hide it. Others than torchrun have variables of their
    own for it (commcheck.engines)."""
    from commcheck.engines.detecting import completed

    return "RANK" in environ or "WORLD_SIZE" in environ or completed(environ)[1] is not None


def _held(args: argparse.Namespace) -> Allocation | None:
    """The engine that is to start the ranks: the one that --on names, or whose allocation this process has. Raises
    UsageError."""
    if args.local:
        return None
    from commcheck.engines.detecting import engines, held

    found = held(os.environ)
    if args.on is None or (found is not None and found.engine == args.on):
        return found
    engine = next((e for e in engines() if e.name == args.on and e.asked is not None), None)
    if engine is None or engine.asked is None:
        known = ", ".join(e.name for e in engines() if e.asked is not None)
        raise UsageError(
            f"--on {args.on}: without an allocation of it, only {known} can be asked for hosts (see commcheck plan)"
        )
    return engine.asked


def _check(args: argparse.Namespace) -> None:
    if args.backend not in BACKENDS:
        raise UsageError(f"--backend {args.backend}: choose one of {' '.join(BACKENDS)}")
    for name in ("world_size", "nodes"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least 1")
    if args.master_port is not None and not 0 < args.master_port < 65536:
        raise UsageError(f"--master-port {args.master_port}: a port is a number from 1 to 65535")
    for name in ("timeout", "deadline", "join_deadline"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: must be more than 0 seconds")


@contextlib.contextmanager
def plan(args: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[Plan]:
    """The plan of a local world; while the context is open, its port is kept from others."""
    gpus = gpu_count(environ)
    size = args.world_size or gpus or 2
    env = dict(assignment("--env", text) for text in args.env)
    rank_env: dict[int, dict[str, str]] = {}
    for text in args.rank_env:
        rank, (name, value) = of_rank("--rank-env", text, size, lambda rest: assignment("--rank-env", rest))
        rank_env.setdefault(rank, {})[name] = value
    places = dict(of_rank("--netns", text, size, namespace) for text in args.netns)
    faults: dict[int, tuple[FaultAt, ...]] = {}
    for text in args.inject:
        rank, made = of_rank("--inject", text, size, fault)
        faults[rank] = (*faults.get(rank, ()), made)
    base = {k: v for k, v in environ.items() if k not in LAUNCHER_VARIABLES or k.startswith("MASTER_")}
    addr = args.master_addr or env.get("MASTER_ADDR") or base.get("MASTER_ADDR") or "127.0.0.1"
    given = args.master_port or env.get("MASTER_PORT") or base.get("MASTER_PORT")
    with contextlib.ExitStack() as stack:
        port = None
        if given is None:
            port = 29500 if places else stack.enter_context(held_port())
        elif args.master_port:
            port = args.master_port
        yield local_plan(
            size=size,
            base=base,
            backend=backend(args.backend, gpus, size),
            env=env,
            rank_env=rank_env,
            master_addr=addr,
            master_port=port,
            places=tuple(
                Place(host=places[s], netns=places[s]) if s in places else Place(host=here()) for s in range(size)
            ),
            faults=faults,
            store_seconds=args.timeout,
        )


def here() -> str:
    """This host's name."""
    return socket.gethostname()


def backend(asked: str, gpus: int, size: int) -> str:
    """What "auto" means here: NCCL where every rank has a GPU of its own, else gloo."""
    if asked != "auto":
        return asked
    return "nccl" if gpus and size <= gpus else "gloo"
