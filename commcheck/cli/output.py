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

FORMATS = ("text", "json", "junit", "html", "prometheus", "nagios", "nhc")

# By the verdict's value: --help of a verb needs this module, and not the model.
_EXIT = {"healthy": 0, "unhealthy": 1, "inconclusive": 3}


def exit_code(verdict: "Verdict", form: str = "text") -> int:
    """The exit code of a verdict: healthy 0, unhealthy 1, inconclusive 3; or what the form's reader expects in its place."""
    if form == "nagios":
        from commcheck.report.to_nagios import EXITS

        return EXITS[verdict.value]
    if form == "nhc":
        from commcheck.report.to_nhc import EXITS

        return EXITS[verdict.value]
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
    """Write the report as the arguments ask. Raises UsageError as `deliver` does."""
    path: str | None = getattr(args, "output", None)
    deliver(path, lambda stream: _rendered(report, args, stream))
    if path is not None and not getattr(args, "quiet", False):
        sys.stderr.write(f"commcheck: {report.verdict}; the report is in {path}\n")


def deliver(path: str | None, text: "Callable[[TextIO | None], str]") -> None:
    """Write a result to the file `path`, or to standard output; `text` makes it, for a stream or (None) a file. A reader
    that has gone away (`| head`) changes nothing. Where the file cannot be written, standard output has the result, which
    was dear, and UsageError is raised."""
    if path is None:
        _say(text(sys.stdout))
        return
    try:
        write_file(path, text(None))
    except OSError as error:
        _say(text(sys.stdout))
        raise UsageError(f"--output {path}: {error.strerror or error}") from error


def _say(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_file(path: str, text: str) -> None:
    """Write a file that is never half there for whoever reads it meanwhile (node_exporter does, at any time); what is no
    regular file is written as it is. Raises OSError."""
    there = os.path.lexists(path)
    plain = os.path.isfile(path) and not os.path.islink(path)
    if there and not (plain and os.access(os.path.dirname(path) or ".", os.W_OK)):
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return
    temporary = f"{path}.{os.getpid()}.writing"
    try:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        if there:
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except OSError:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise


def _rendered(report: "Report", args: "argparse.Namespace", stream: "TextIO | None") -> str:
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
    elif form == "prometheus":
        from commcheck.report.to_prometheus import render
    elif form == "nagios":
        from commcheck.report.to_nagios import render
    elif form == "nhc":
        from commcheck.report.to_nhc import render
    else:
        from commcheck.report.to_text import render as render_text

        color = stream is not None and use_color(args, stream)
        return render_text(report, color=color, width=text_width(stream))
    return render(report)


def text_width(stream: "TextIO | None") -> int:
    """The width to wrap to: the terminal's, at most 120; 100 in a file or pipe."""
    try:
        columns = 0 if stream is None else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(60, min(columns, 120)) if columns else 100
