"""Run a saved world again, on virtual hosts where the recorded ones are not here; or the calls of a job, from its dumps.

BUNDLE is a file of `preflight --save`, `scenario run --save` or `explore`; a directory of `preflight --report-dir` will do as
well. Dumps are those of PyTorch's flight recorder, of all ranks: their collectives are issued again, in their order, as a
gloo world on this machine. The exit code is that of the new verdict."""

from __future__ import annotations

import argparse
import os

from commcheck.cli.options import command
from commcheck.cli.output import add_output_arguments, check_output, emit, exit_code
from commcheck.cli.progress import Progress
from commcheck.errors import InputError, UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from commcheck.replay.again import Wish
    from commcheck.replay.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `commcheck replay`."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a bundle, a report directory, or dumps (files, or their directory)",
    )
    parser.add_argument(
        "--world-size", type=int, metavar="N", help="ranks to start (default: as recorded; of dumps at most 16)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--lab", action="store_true", help="rebuild the recorded hosts as virtual ones (the default)")
    where.add_argument(
        "--here", action="store_true", help="on this machine itself (the default where it was recorded here)"
    )
    parser.add_argument(
        "--with-cause",
        action="store_true",
        help="also make the fault that was concluded, such as a firewall, which no facts show",
    )
    parser.add_argument("--trust", action="store_true", help="run commands, and load code, that the bundle asks for")
    parser.add_argument("--no-fix", action="store_true", help="do not try the fixes")
    parser.add_argument("--save", metavar="FILE", help="save what was run as a bundle")
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run it again; returns the exit code of its verdict."""
    check_output(args)
    from commcheck.planner import check_size
    from commcheck.replay.again import Wish, needs_lab, replay
    from commcheck.replay.bundle import bundle_of
    from commcheck.replay.file import check_target, save

    if args.world_size is not None:
        check_size(args.world_size)
    if args.save is not None:
        check_target("--save", args.save)
    wish = Wish(
        world_size=args.world_size,
        place="lab" if args.lab else "here" if args.here else "",
        with_cause=args.with_cause,
        trust=args.trust,
        try_fixes=not args.no_fix,
    )
    bundle = _read(args.sources, args.world_size)
    if needs_lab(bundle, wish):
        _become_root(wish)
    progress = Progress(quiet=args.quiet)
    played = replay(bundle, wish, command=command(), say=progress.say)
    if args.save is not None:
        save(
            bundle_of(
                played.plan, played.case, played.report, origin=bundle.head.origin, name=bundle.head.name, seed=bundle.head.seed,
                scenario=bundle.scenario,
            ),
            args.save,
        )  # fmt: skip
    progress.done()
    emit(played.report, args)
    return exit_code(played.report.verdict, args.format)


def _become_root(wish: Wish) -> None:
    """Virtual hosts need root: who is not starts this command again as root of a user namespace, where that is allowed."""
    from commcheck.errors import LaunchError
    from commcheck.lab.unprivileged import become_root

    try:
        become_root()
    except LaunchError:
        if wish.place == "lab":
            raise  # else it is seen whether this machine will do


def _read(sources: list[str], size: int | None) -> Bundle:
    """What is to be run again."""
    from commcheck.replay.file import is_bundle, load

    bundles = [s for s in sources if is_bundle(s)]
    if bundles:
        if len(sources) > 1:
            raise UsageError(f"{sources[0]} and others: one bundle is run at a time")
        return load(bundles[0])
    for source in sources:
        if not os.path.exists(source):
            raise InputError(f"{source}: there is no such file or directory")
    if len(sources) == 1 and os.path.isdir(sources[0]):
        found = _reports(sources[0])
        if found is not None:
            return found
    from commcheck.replay.recorded import bundle_of_dumps

    return bundle_of_dumps(sources, size)


def _reports(directory: str) -> Bundle | None:
    """The bundle of a report directory; None where it is none."""
    from glob import escape, glob

    if not glob(os.path.join(escape(directory), "rank-*.json")):
        return None
    from pathlib import Path

    from commcheck.diagnose import build
    from commcheck.diagnose.match import judge
    from commcheck.replay.bundle import bundle_of, plan_of
    from commcheck.runtime.reports import load_case

    case = load_case(Path(directory))
    report = build.report(case, judge(case), command=command(), seconds=case.seconds)
    return bundle_of(plan_of(case), case, report, origin="preflight")
