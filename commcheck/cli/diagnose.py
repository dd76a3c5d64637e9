"""Find the cause in what a job left behind: logs, directories of logs or of commcheck's rank reports, dumps of PyTorch's
flight recorder or of py-spy, answers of ncclras, what ibstat, ibv_devinfo, ibdev2netdev and show_gids print, standard
input; or show again what commcheck's own JSON reports said. Or look at a running job (--pid, --job).

The records that `preflight --report-to stdout` leaves in a launcher's output are merged as the files of a directory are.
Files may be compressed with gzip, zstd, bzip2 or xz. While it reads, what is sure already is said on standard error;
Ctrl-C ends the reading, and the report is of what was read until then (exit code 130).
"""

import argparse
import gc
import os
import time

from commcheck.errors import UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from commcheck.cli.reading import Read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `commcheck diagnose`."""
    from commcheck.cli.live import add_live_arguments
    from commcheck.cli.output import add_output_arguments

    parser.add_argument(
        "paths",
        metavar="FILE|DIR|-",
        nargs="*",
        help="logs of a job; a directory of them, or one that `preflight --report-dir` made; dumps of PyTorch's flight "
        "recorder and of py-spy; what ncclras said; JSON reports of commcheck; - for standard input",
    )
    add_live_arguments(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Diagnose and print the report."""
    if args.pid or args.job:
        from commcheck.cli.live import run as look

        return look(args)
    if not args.paths:
        raise UsageError("the following arguments are required: FILE|DIR|- (or --pid, or --job)")
    begin = time.monotonic()
    from commcheck.cli.main import INTERRUPTED
    from commcheck.cli.output import emit, exit_code
    from commcheck.cli.own import shown
    from commcheck.diagnose.build import report
    from commcheck.diagnose.match import judge

    paths: list[str] = args.paths
    if (earlier := shown(paths)) is not None:
        emit(earlier, args)
        return exit_code(earlier.verdict, args.format)
    found = _with_records(_read(paths, quiet=args.quiet))
    judgement = judge(found.case)
    command = ("commcheck", "diagnose", *paths)
    result = report(found.case, judgement, command=command, seconds=time.monotonic() - begin, notes=found.notes)
    emit(result, args)
    return INTERRUPTED if found.interrupted else exit_code(result.verdict, args.format)


def _read(paths: "list[str]", *, quiet: bool) -> "Read":
    """Whatever the paths are, as a case."""
    from commcheck.cli.own import ranks
    from commcheck.cli.reading import Read, read

    if (joined := ranks(paths)) is not None:
        return Read(joined)
    if reports := [path for path in paths if path != "-" and _has_reports(path)]:
        if len(paths) > 1:
            raise UsageError(
                f"{reports[0]} holds reports of commcheck's ranks: diagnose it alone, not with other files"
            )
        from pathlib import Path

        from commcheck.runtime.reports import load_case

        case = load_case(Path(reports[0]))
        gc.freeze()  # the reports of thousands of ranks stay to the end: looking through them for garbage is a sixth of the time
        return Read(case)
    from commcheck.cli.dumps import take, with_logs
    from commcheck.cli.progress import Progress
    from commcheck.cli.verbs import beside
    from commcheck.cli.verbs import take as take_cards

    cards = take_cards(paths)
    if cards.case is not None and not cards.rest:
        return Read(cards.case)
    progress = Progress(quiet=quiet)
    found = with_logs(take(cards.rest), lambda left: read(left, progress.say))
    progress.done()
    if cards.case is not None:
        found.case = beside(cards.case, found.case)
    return found


def _with_records(found: "Read") -> "Read":
    """What the records of commcheck's own ranks say, where they stand in a log; what else the log says, where they say that
    all is well and it says that something failed: a preflight that was healthy does not speak for the job after it."""
    if found.records is None or not found.records.found:
        return found
    from commcheck.cli.collected import collected
    from commcheck.cli.reading import Read
    from commcheck.diagnose.match import judge
    from commcheck.model.diagnosis import Verdict

    merged = collected(found.records, cut=found.interrupted)
    if merged is None:
        return found
    case, notes, _ = merged
    if judge(case).verdict is not Verdict.UNHEALTHY and judge(found.case).verdict is Verdict.UNHEALTHY:
        ranks = f"the {len(case.ranks)} ranks of the preflight in the same text found nothing wrong: this is of what else it says"
        return Read(found.case, (*found.notes, ranks), interrupted=found.interrupted)
    return Read(case, (*found.notes, *notes), interrupted=found.interrupted)


def _has_reports(path: str) -> bool:
    """Whether `path` is a directory with rank reports of commcheck."""
    try:
        with os.scandir(path) as entries:
            return any(entry.name.startswith("rank-") and entry.name.endswith(".json") for entry in entries)
    except (OSError, ValueError):  # a NUL in the name
        return False
