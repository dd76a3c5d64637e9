"""Earlier reports beside the new one, and a report shown again: the options of `commcheck cluster` that measure nothing."""

from __future__ import annotations

import argparse
import calendar
import os
import re
import time

from commcheck.cli.output import write_file
from commcheck.errors import InputError, UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from commcheck.cluster.history import Comparison
    from commcheck.model.cluster import ClusterReport

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def add_history_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --history, --since, --baseline and --read."""
    group = parser.add_argument_group("earlier reports")
    group.add_argument(
        "--history", metavar="DIR", help="keep this report there too, and compare it with the earlier ones"
    )
    group.add_argument(
        "--since",
        metavar="WHEN|FILE|DIR",
        help="say what got worse since: a report, a directory of them, or of --history those since 7d, 12h, 2026-11-20",
    )
    group.add_argument("--baseline", metavar="FILE", help="a report: what differs from it is listed as drift")
    group.add_argument(
        "--read", metavar="FILE", help="measure nothing: show this report (or the newest in a directory)"
    )


def apply_history(args: argparse.Namespace, report: ClusterReport) -> tuple[ClusterReport, Comparison | None]:
    """The report with its drift from the baseline, kept in the history, and what has changed. Raises UsageError, InputError."""
    from msgspec.structs import replace

    from commcheck.cluster import history

    old, since = _earlier(args, report)
    if args.baseline is not None:
        drift = history.against(history.read(args.baseline), report)
        report = replace(report, drift=(*report.drift, *drift))
    changes = history.compare(old, report, since) if since else None
    if args.history is not None and args.read is None:
        _keep(args.history, report)
    return report, changes


def _earlier(args: argparse.Namespace, report: ClusterReport) -> tuple[tuple[ClusterReport, ...], str]:
    """The reports to compare with, and how to call them; "" where nobody asked."""
    from commcheck.cluster import history

    if args.since is not None and os.path.isdir(args.since):
        return _before(history.load(args.since), report), args.since
    if args.since is not None and os.path.exists(args.since):
        return (history.read(args.since),), args.since
    if args.since is not None and args.history is None:
        begun(args.since, report.begun)  # a wrong word is said first
        raise UsageError(f"--since {args.since}: no such file or directory; a time needs --history DIR")
    if args.history is None:
        return (), ""
    kept = _before(history.load(args.history), report) if os.path.isdir(args.history) else ()
    if args.since is None:
        return kept, f"the {len(kept)} reports in {args.history}"
    start = begun(args.since, report.begun)
    return tuple(r for r in kept if r.begun >= start), args.since


def _before(reports: tuple[ClusterReport, ...], new: ClusterReport) -> tuple[ClusterReport, ...]:
    return tuple(r for r in reports if r.begun < new.begun)


def begun(text: str, now: float) -> float:
    """When a time was, in seconds since the epoch: 7d ago, or a date. Raises UsageError."""
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]]
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"):
        try:
            return float(calendar.timegm(time.strptime(text, form)))
        except ValueError:
            continue
    raise UsageError(f"--since {text}: give a report, a directory of reports, or a time such as 7d, 12h, 2026-11-20")


def _keep(directory: str, report: ClusterReport) -> None:
    from commcheck.cluster.history import file_name
    from commcheck.cluster.rendering import rendered

    path = os.path.join(directory, file_name(report))
    try:
        os.makedirs(directory, exist_ok=True)
        write_file(path, rendered(report, "json"))
    except OSError as error:
        raise UsageError(f"--history {directory}: {error.strerror or error}") from error


def read_again(args: argparse.Namespace) -> ClusterReport:
    """The report that --read names. Raises InputError."""
    from commcheck.cluster import history

    if not os.path.isdir(args.read):
        return history.read(args.read)
    kept = history.load(args.read)
    if not kept:
        raise InputError(f"{args.read}: no reports of commcheck cluster in it")
    return kept[-1]
