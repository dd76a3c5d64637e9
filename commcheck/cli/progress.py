"""Progress for a person who waits: on standard error, never mixed with the report."""

import os
import sys
import time

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from typing import TextIO


class Progress:
    """One updating line on a terminal, plain lines with seconds in a log, nothing when quiet.

    `say` may be called as often as something changes; `done` clears the terminal's line before the report."""

    def __init__(self, *, quiet: bool = False, stream: "TextIO | None" = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._live = not quiet and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._begin = time.monotonic()
        self._last = ""

    def say(self, text: str) -> None:
        """Tell what is going on now. The same text twice in a row is told once."""
        if self._quiet or text == self._last:
            return
        self._last = text
        stamp = f"{time.monotonic() - self._begin:5.1f} s"
        if self._live:
            # Cut at the terminal's width: a wrapped line could not be cleared by a carriage return.
            try:
                columns = os.get_terminal_size(self._stream.fileno()).columns
            except (OSError, ValueError):
                columns = 0
            self._write(f"\r\x1b[K{f'{stamp}  {text}'[: (columns or 80) - 1]}")
        else:
            self._write(f"commcheck: {stamp}  {text}\n")

    def done(self) -> None:
        """Clear the line. Further calls of `say` begin a new one."""
        if self._live and self._last:
            self._write("\r\x1b[K")
        self._last = ""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._quiet = True  # nobody reads it any more
