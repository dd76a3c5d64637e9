"""An argument parser whose errors are commcheck's own: one line, exit code 2."""

import argparse
from typing import Any, NoReturn

from commcheck.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse with two habits changed: no guessing of abbreviated options (a new option must not change the meaning
    of an old command line), and errors are raised rather than printed below a page of usage."""

    def __init__(self, *, prog: str, description: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )

    def error(self, message: str) -> NoReturn:
        """Called by argparse for everything that it rejects."""
        raise UsageError(f"{message} (see {self.prog} --help)")
