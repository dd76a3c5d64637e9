"""commcheck's own errors. Each message says what is wrong and what to do about it."""


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
