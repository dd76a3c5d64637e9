"""`commcheck diagnose --pid PID...` and `--job`: a running job, looked at from outside and left alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from commcheck.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from commcheck.model.diagnosis import Report
    from commcheck.runtime.live.find import Found


def add_live_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --pid, --job and --watch."""
    group = parser.add_argument_group("a running job (nothing in it is stopped, signalled or changed)")
    group.add_argument(
        "--pid",
        type=int,
        nargs="+",
        metavar="PID",
        default=[],
        help="its processes, or a launcher above them; on each host those that run there",
    )
    group.add_argument(
        "--job", action="store_true", help="the processes of this user here that were started with RANK and WORLD_SIZE"
    )
    group.add_argument(
        "--watch",
        type=float,
        metavar="S",
        default=None,
        help="seconds without any movement before it is called a standstill (default: 5)",
    )


def run(args: argparse.Namespace) -> int:
    """Look, judge, print; returns the exit code of the verdict."""
    from commcheck.cli.output import emit, exit_code
    from commcheck.cli.progress import Progress
    from commcheck.runtime.live import find

    if args.paths:
        raise UsageError("a running job (--pid, --job) and logs are looked at apart: give one of them")
    if args.pid and args.job:
        raise UsageError("--job finds the processes itself: give it or --pid")
    if args.watch is not None and not args.watch > 0:
        raise UsageError(f"--watch {args.watch:g}: must be more than 0 seconds")
    progress = Progress(quiet=args.quiet)
    found = find.job() if args.job else find.given(args.pid)
    words = ("--job",) if args.job else ("--pid", *map(str, args.pid))
    result = report_of(found, command=("commcheck", "diagnose", *words), seconds=args.watch, say=progress.say)
    progress.done()
    emit(result, args)
    return exit_code(result.verdict, args.format)


def report_of(
    found: tuple[Found, ...], *, command: tuple[str, ...], seconds: float | None, say: Callable[[str], None]
) -> Report:
    """The report about some running processes. `seconds`: as --watch."""
    from commcheck.diagnose.build import report
    from commcheck.diagnose.match import judge
    from commcheck.runtime.live.look import WATCH
    from commcheck.runtime.live.whole import seen_of

    begin = time.monotonic()
    case, notes = seen_of(found, seconds=seconds or WATCH, progress=say)
    return report(case, judge(case), command=command, seconds=time.monotonic() - begin, notes=notes)
