"""Where a report goes and in which form: the options that every verb shares."""

import os
import stat
import sys

from commcheck.errors import UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import TextIO

    from commcheck.model.diagnosis import Report, Verdict

FORMATS = ("text", "json", "junit", "html")

# By the verdict's value: --help of a verb needs this module, and not the model.
_EXIT = {"healthy": 0, "unhealthy": 1, "inconclusive": 3}


def exit_code(verdict: "Verdict") -> int:
    """The exit code of a verdict: healthy 0, unhealthy 1, inconclusive 3."""
    return _EXIT[verdict.value]


def add_output_arguments(parser: "argparse.ArgumentParser") -> None:
    """Declare --format, --output, --quiet and --no-color."""
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="text", help="form of the report (default: text)")
    group.add_argument("--output", metavar="FILE", help="write the report to FILE instead of standard output")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error, only the report")
    group.add_argument("--no-color", action="store_true", help="plain text (as with NO_COLOR=1, or in a pipe)")


def check_output(args: "argparse.Namespace") -> None:
    """Raise UsageError if --output cannot be written, before any work is done. An existing file stays as it is."""
    path: str | None = getattr(args, "output", None)
    if path is None:
        return
    try:
        fresh = not os.path.lexists(path)
        if not fresh and stat.S_ISFIFO(os.stat(path).st_mode):
            return  # opening a pipe would wait for its reader, or end the stream that it waits for
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666))
        if fresh:
            os.unlink(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--output {path}: {reason}") from error


def use_color(args: "argparse.Namespace", stream: "TextIO") -> bool:
    """Colour only on a terminal that knows it, and only where nobody has asked for none."""
    if getattr(args, "no_color", False) or os.environ.get("NO_COLOR"):
        return False
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def emit(report: "Report", args: "argparse.Namespace") -> None:
    """Write the report as the arguments ask. A reader that has gone away (`| head`) does not change the verdict."""
    path: str | None = getattr(args, "output", None)
    if path is None:
        text = _rendered(report, args, sys.stdout)
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_rendered(report, args, file))
    except OSError as error:
        # The verdict was dear: it is not lost with the file.
        sys.stdout.write(_rendered(report, args, sys.stdout))
        raise UsageError(f"--output {path}: {error.strerror or error}") from error
    if not getattr(args, "quiet", False):
        sys.stderr.write(f"commcheck: {report.verdict}; the report is in {path}\n")


def _rendered(report: "Report", args: "argparse.Namespace", stream: "TextIO") -> str:
    """The report in the form asked for, without secrets; only that form's module is imported."""
    from commcheck.report.redact import clean

    report = clean(report)
    form: str = getattr(args, "format", "text")
    render: Callable[[Report], str]
    if form == "json":
        from commcheck.report.to_json import render
    elif form == "junit":
        from commcheck.report.to_junit import render
    elif form == "html":
        from commcheck.cli.context import around
        from commcheck.report.to_html import render as render_page

        return render_page(report, around(report))
    else:
        from commcheck.report.to_text import render as render_text

        return render_text(report, color=use_color(args, stream), width=text_width(stream))
    return render(report)


def text_width(stream: "TextIO") -> int:
    """The width to wrap to: the terminal's, at most 120; 100 in a file or pipe."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(60, min(columns, 120)) if columns else 100
