"""commcheck's own errors. Each message says what is wrong and what to do about it."""

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from collections.abc import Iterable


class CommcheckError(Exception):
    """The base: shown to the user as one line, exit code 2."""

    exit_code = 2


class UsageError(CommcheckError):
    """An argument or a setting of commcheck itself cannot be used."""


class InputError(CommcheckError):
    """A file or directory that was given cannot be read as what it should be."""


class LaunchError(CommcheckError):
    """commcheck could not start or place its own processes: nothing is known about the user's world, exit code 3."""

    exit_code = 3


def did_you_mean(wrong: str, known: "Iterable[str]", otherwise: str) -> str:
    """How a message about an unknown name ends: the nearest name that there is, or `otherwise`."""
    import difflib

    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
