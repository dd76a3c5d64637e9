"""An argument parser whose errors are commcheck's own: one line, exit code 2."""

import argparse
import os

from commcheck.errors import UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from typing import Any, NoReturn


class _Formatter(argparse.HelpFormatter):
    """The terminal's width by the cheapest means: argparse makes a formatter for every argument that is declared, and
    by default loads shutil (and with it four compression libraries) to ask for the width."""

    def __init__(self, prog: str) -> None:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() and columns != "0" else 0
        if not width:
            try:
                width = os.get_terminal_size(1).columns
            except (OSError, ValueError):
                width = 0
        super().__init__(prog, max_help_position=28, width=max(60, min(width or 100, 120)) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """A verb's docstring is its description: its paragraphs stay, its line breaks are the source's, not the reader's."""
        return "\n\n".join(super(_Formatter, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


class Parser(argparse.ArgumentParser):
    """argparse with two habits changed: no guessing of abbreviated options (a new option must not change the meaning
    of an old command line), and errors are raised rather than printed below a page of usage."""

    def __init__(self, *, prog: str, description: str | None = None, **kwargs: "Any") -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=_Formatter,
            **kwargs,
        )

    def error(self, message: str) -> "NoReturn":
        """Called by argparse for everything that it rejects."""
        raise UsageError(f"{message} (see {self.prog} --help)")
