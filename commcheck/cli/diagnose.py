"""Find the cause in what a job left behind: logs, directories of logs or of commcheck's rank reports, standard input."""

import argparse
import os
import stat
import sys
import time

from commcheck.errors import InputError, UsageError

# What a directory of logs may hold beside logs; everything else in it is read.
_NO_LOGS = [
    ".pt",
    ".pth",
    ".ckpt",
    ".safetensors",
    ".bin",
    ".npy",
    ".npz",
    ".pkl",
    ".pickle",
    ".png",
    ".jpg",
    ".pdf",
    ".py",
    ".pyc",
    ".json",
    ".yaml",
    ".yml",
    ".toml",
    ".so",
    ".whl",
    ".csv",
    ".parquet",
    ".arrow",
    ".tar",
    ".zip",
    ".gz",
    ".zst",
    ".xz",
    ".bz2",
    ".sqlite",
    ".db",
    ".lock",
    ".pid",
    ".tfevents",
]
_MOST_FILES = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `commcheck diagnose`."""
    from commcheck.cli.output import add_output_arguments

    parser.add_argument(
        "paths",
        metavar="FILE|DIR|-",
        nargs="+",
        help="logs of a job; a directory of them, or one that `preflight --report-dir` made; - for standard input",
    )
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Diagnose and print the report."""
    begin = time.monotonic()
    from commcheck.cli.output import emit, exit_code
    from commcheck.diagnose.build import report
    from commcheck.diagnose.match import judge
    from commcheck.model.case import Case

    paths: list[str] = args.paths
    reports = [path for path in paths if path != "-" and _has_reports(path)]
    if reports and len(paths) > 1:
        raise UsageError(f"{reports[0]} holds reports of commcheck's ranks: diagnose it alone, not with other files")
    case: Case
    if reports:
        from pathlib import Path

        from commcheck.runtime.reports import load_case

        case = load_case(Path(reports[0]))
    else:
        from commcheck.cli.dumps import case_with, take
        from commcheck.diagnose.logs import case_from_text

        dumped, rest = take(paths)
        if dumped is None:
            case = case_from_text(_sources(paths))
        else:
            case = case_with(dumped, rest, lambda left: case_from_text(_sources(left)))
    result = report(case, judge(case), command=("commcheck", "diagnose", *paths), seconds=time.monotonic() - begin)
    emit(result, args)
    return exit_code(result.verdict)


def _has_reports(path: str) -> bool:
    """Whether `path` is a directory with rank reports of commcheck."""
    try:
        with os.scandir(path) as entries:
            return any(entry.name.startswith("rank-") and entry.name.endswith(".json") for entry in entries)
    except OSError:
        return False


def _sources(paths: list[str]) -> list[tuple[str, bytes]]:
    """The named texts, in a stable order. Each is read once."""
    sources: list[tuple[str, bytes]] = []
    for path in dict.fromkeys(paths):
        if path == "-":
            sources.append(("standard input", _read_stdin()))
        elif _mode(path) == "directory":
            sources.extend(_directory(path))
        else:
            sources.append((path, _read(path)))
    return sources


def _mode(path: str) -> str:
    """Directory or file; an InputError for what is neither."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}: give the path of a log or of a directory of logs"
        ) from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{path!r} is not a path: {error}") from error
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
        return "file"
    raise InputError(f"{path} is neither a file nor a directory: give the path of a log")


def _read(path: str) -> bytes:
    """A file's bytes."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}: make it readable, or pass its text to `commcheck diagnose -`"
        ) from error


def _read_stdin() -> bytes:
    """All of standard input."""
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed: pipe the job's output into `commcheck diagnose -`")
    if sys.stdin.isatty() and not sys.stdin.closed:
        sys.stderr.write("commcheck: reading standard input (end it with Ctrl-D)\n")
    return sys.stdin.buffer.read()


def _directory(path: str) -> list[tuple[str, bytes]]:
    """The texts in a directory and below it. Files that are plainly something else are left out."""
    from commcheck.diagnose.ingest.decode import is_binary

    found: list[tuple[str, bytes]] = []
    others = 0
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            full = os.path.join(folder, name)
            if name.startswith(".") or os.path.splitext(name)[1].lower() in _NO_LOGS or not os.path.isfile(full):
                others += 1
                continue
            data = _read(full)
            if is_binary(data[:65536]):
                others += 1
                continue
            found.append((full, data))
            if len(found) > _MOST_FILES:
                raise InputError(f"{path} holds more than {_MOST_FILES} files: give the directory of one job's logs")
    if not found:
        what = f"none of its {others} files is a log" if others else "it is empty"
        raise InputError(
            f"{path}: {what}: give the directory in which the job's logs or `preflight --report-dir` reports are"
        )
    return found
