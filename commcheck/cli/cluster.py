"""Every host against every other: names, routes, ports in both directions, large packets, latency, losses and bandwidth,
alone and while all talk; and what differs between the hosts. Says which hosts and links are bad.

In a Slurm allocation it starts itself on every host by srun; elsewhere through what you name: `--hosts a,b,c --through 'ssh
{host}'`. Nothing is shared then: what the hosts say comes over that command's input and output. Or start it once per host, in
place of your script, with a --report-dir DIR that all hosts see: `srun --ntasks-per-node 1 commcheck cluster --report-dir DIR`;
the first host's process then prints the report, and all return its exit code. Nothing needs torch.
Exit codes: 0 healthy, 1 a host or link is bad, 3 that could not be judged."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time

from commcheck.cli.cluster_history import add_history_arguments
from commcheck.cli.cluster_through import add_through_arguments
from commcheck.cli.output import deliver, text_width, use_color
from commcheck.cli.progress import Progress
from commcheck.errors import UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from typing import TextIO

    from commcheck.cluster.history import Comparison
    from commcheck.cluster.lead import Options
    from commcheck.cluster.values import Collected
    from commcheck.engines.base import Allocation
    from commcheck.model.cluster import ClusterReport

FORMATS = ("text", "json", "html", "junit", "prometheus", "nagios", "nhc")
EXCLUDES = ("slurm", "mpi", "kubernetes")
SECONDS = 0.15
"""Of each stream. TCP has found its pace after ten round trips."""
ALL_PAIRS_UP_TO = 128
"""As `lead.ALL_PAIRS_UP_TO`, which a help text must not load."""
JOIN_SECONDS = 60.0
"""As `assembly.MEETING_DEADLINE`, which a help text must not load."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `commcheck cluster`."""
    where = parser.add_argument_group("the hosts")
    where.add_argument(
        "--report-dir", metavar="DIR", help="a directory that all hosts see: they meet there, and clean up"
    )
    where.add_argument("--lab", metavar="FILE", help="virtual hosts (a [lab] as in a scenario, with its faults)")
    add_through_arguments(where)
    where.add_argument(
        "--interface", default="", metavar="NAME", help="by which they reach each other (default: what they share)"
    )
    where.add_argument(
        "--join-deadline",
        type=float,
        default=JOIN_SECONDS,
        metavar="S",
        help="after which a host is missing (default: 60)",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--bandwidth-seconds", type=float, default=SECONDS, metavar="S", help=f"of each stream (default: {SECONDS})"
    )
    how.add_argument(
        "--all-pairs-up-to",
        type=int,
        default=ALL_PAIRS_UP_TO,
        metavar="N",
        help=f"hosts of which every pair is timed; more of them are searched by group testing (default: {ALL_PAIRS_UP_TO})",
    )
    how.add_argument("--quick", action="store_true", help="no streams: names, ports, large packets, latency, losses")
    add_history_arguments(parser)
    out = parser.add_argument_group("output")
    out.add_argument("--format", choices=FORMATS, default="text", help="form of the report (default: text)")
    out.add_argument("--output", metavar="FILE", help="write the report to FILE instead of standard output")
    out.add_argument("--exclude-file", metavar="FILE", help="write the bad hosts there, for the launcher to leave out")
    out.add_argument("--exclude-format", choices=EXCLUDES, default="slurm", help="in its form (default: slurm)")
    out.add_argument("--quiet", action="store_true", help="no progress on standard error, only the report")
    out.add_argument("--no-color", action="store_true", help="plain text (as with NO_COLOR=1, or in a pipe)")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and return the exit code. Raises UsageError, InputError and LaunchError."""
    from commcheck.cluster.lead import Options

    if args.through is not None and (other := "--report-dir" if args.report_dir else "--lab" if args.lab else ""):
        raise UsageError(f"--through and {other}: give one of them")
    for name in ("bandwidth_seconds", "join_deadline"):
        if not getattr(args, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(args, name):g}: must be more than 0")
    if args.all_pairs_up_to < 0:
        raise UsageError(f"--all-pairs-up-to {args.all_pairs_up_to}: must be 0 or more hosts")
    if args.read is not None:
        from commcheck.cli.cluster_history import read_again

        return _told(args, read_again(args))
    if args.attached is not None:
        from commcheck.cli.cluster_through import attached

        return attached(args)
    if args.through is None and args.hosts is not None:
        return _say_what_to_start(args)
    options = Options(
        seconds=0.0 if args.quick else args.bandwidth_seconds,
        interface=args.interface,
        all_pairs_up_to=args.all_pairs_up_to,
    )
    progress = Progress(quiet=args.quiet)
    if args.lab is not None:
        return _in_lab(args, options, progress)
    from commcheck.cli.cluster_through import held

    allocation = held(args)
    if args.through is not None or allocation is not None:
        return _through(args, allocation, options, progress)
    return _joined(args, options, progress)


def _say_what_to_start(args: argparse.Namespace) -> int:
    from commcheck.cli.cluster_through import say_what_to_start

    own = ["--quick"] if args.quick else ["--bandwidth-seconds", f"{args.bandwidth_seconds:g}"]
    own += ["--interface", args.interface] if args.interface else []
    own += ["--all-pairs-up-to", str(args.all_pairs_up_to)] if args.all_pairs_up_to != ALL_PAIRS_UP_TO else []
    return say_what_to_start(args, own)


def _through(args: argparse.Namespace, allocation: Allocation | None, options: Options, progress: Progress) -> int:
    """As the one that starts the hosts' processes, and hears them."""
    from commcheck.cli.cluster_through import collected

    begun = time.time()
    found, notes = collected(args, allocation, options, progress)
    progress.done()
    return _finished(args, found, begun, notes)


def _in_lab(args: argparse.Namespace, options: Options, progress: Progress) -> int:
    from pathlib import Path

    from commcheck.explore.labfile import load
    from commcheck.lab.unprivileged import become_root

    topology, faults = load(Path(args.lab))
    become_root()
    from commcheck.cluster.inlab import collected

    begun = time.time()
    found = collected(topology, faults, progress.say, options)
    progress.done()
    return _finished(args, found, begun)


def _joined(args: argparse.Namespace, options: Options, progress: Progress) -> int:
    """As the one process of a host that somebody's launcher has made."""
    from commcheck.cluster.joined import Leading, assembly, follow
    from commcheck.engines.detecting import completed

    environ = dict(os.environ) | completed(os.environ)[0]
    rank, size = environ.get("RANK", ""), environ.get("WORLD_SIZE", "")
    if not rank and not size:
        raise UsageError(
            "no launcher's variables are set here: start it once per host (srun, mpirun, RANK and WORLD_SIZE); in a Slurm "
            "allocation leave out --report-dir, and it does so itself"
            if args.report_dir is not None
            else "no launcher's variables are set here: give --hosts A,B,... --through 'ssh {host}', or start it once per host "
            "(srun, mpirun, RANK and WORLD_SIZE), or give --lab FILE; --hosts alone says what to start"
        )
    if not rank.isdigit() or not size.isdigit() or int(rank) >= int(size):
        raise UsageError(f"RANK={rank} and WORLD_SIZE={size} name no rank of a world")
    if args.report_dir is None:
        raise UsageError(
            "give --report-dir DIR, a directory that all hosts see: they meet there (there is none? start it once, in the "
            "allocation itself or with --through)"
        )
    begun = time.time()
    progress.say(f"waiting for {size} hosts in {args.report_dir}" if rank == "0" else "waiting for rank 0's process")
    with assembly(args.report_dir, int(rank), int(size), args.join_deadline) as board:
        if board.rank != 0:
            progress.done()
            return follow(board)
        hosts = _expected(environ, int(size))
        with Leading(board, board.members, hosts, progress.say, options) as leading:
            found = leading.collected()
            progress.done()
            leading.code = code = _finished(args, found, begun)
    return code


def _expected(environ: dict[str, str], size: int) -> tuple[str, ...]:
    """The hosts' names by rank, for those that never say their own: as Slurm lists them, else by number."""
    from commcheck.engines.nodelist import expand

    listed = expand(environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST") or "")
    return listed if len(listed) == size else tuple(f"rank {number}" for number in range(size))


def _finished(args: argparse.Namespace, found: Collected, begun: float, notes: tuple[str, ...] = ()) -> int:
    from commcheck.cli.options import command
    from commcheck.cluster.judge import report

    return _told(args, report(found, command=command(), begun=begun, seconds=time.time() - begun, notes=notes))


def _told(args: argparse.Namespace, made: ClusterReport) -> int:
    """Compare the report with earlier ones, write it, and return the exit code that its form's reader expects."""
    from commcheck.cli.cluster_history import apply_history
    from commcheck.cluster.rendering import exit_code

    made, changes = apply_history(args, made)
    _exclude(args, made)
    _write(args, made, changes)
    return exit_code(made, args.format, socket.gethostname())


def _exclude(args: argparse.Namespace, made: ClusterReport) -> None:
    if args.exclude_file is None:
        return
    from commcheck.cluster.exclude import FORMS

    try:
        with open(args.exclude_file, "w", encoding="utf-8") as file:
            file.write(FORMS[args.exclude_format].render(made))
    except OSError as error:
        sys.stdout.write(_rendered(args, made, sys.stdout))  # the report was dear: it is not lost with the file
        raise UsageError(f"--exclude-file {args.exclude_file}: {error.strerror or error}") from error


def _write(args: argparse.Namespace, made: ClusterReport, changes: Comparison | None) -> None:
    deliver(args.output, lambda stream: _rendered(args, made, stream, changes))


def _rendered(
    args: argparse.Namespace, made: ClusterReport, stream: TextIO | None, changes: Comparison | None = None
) -> str:
    """The report in the form asked for, for a stream or (None) a file."""
    from commcheck.cluster.rendering import rendered

    color = stream is not None and use_color(args, stream)
    width = text_width(stream or sys.stdout)
    return rendered(made, args.format, changes, host=socket.gethostname(), color=color, width=width)
