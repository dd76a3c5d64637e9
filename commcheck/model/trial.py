"""One test function that is to run on the ranks of a world, and what the ranks say of it. Pure data."""

import msgspec

from commcheck.model.base import Value


class Suite(Value, frozen=True):
    """What the process that ranks are forked from is to collect, so that it sees the tests as pytest does.

    `options` is pickled: pytest's parsed command line. `worker`: what pytest-xdist tells a worker; empty without it."""

    arguments: tuple[str, ...]
    options: bytes
    path: tuple[str, ...]
    directory: str
    worker: dict[str, str | int | float | bool | None] = {}


class Trial(Value, frozen=True):
    """A test, for one run on all ranks. `suite`: the file that holds the `Suite`.

    `shared`: fixtures that were evaluated in the pytest process, pickled. `drawn`: arguments that Hypothesis drew there,
    pickled; None where the test is not one of its. `basetemp`: where the ranks' tmp_path_factory makes its directories.
    `coverage`: the options of the Coverage that measures the pytest process, where one does."""

    nodeid: str
    suite: str
    host: str = ""
    shared: dict[str, bytes] = {}
    drawn: bytes | None = None
    basetemp: str = ""
    coverage: dict[str, str | bool | tuple[str, ...] | None] | None = None


class Warned(Value, frozen=True):
    """A warning that a rank has issued."""

    text: str
    category: str  # module and class
    filename: str
    lineno: int


_suites = msgspec.json.Decoder(Suite)
_trials = msgspec.json.Decoder(Trial)


def suite(data: bytes) -> Suite:
    """Decode a suite. Raises msgspec.ValidationError."""
    return _suites.decode(data)


def trial(data: bytes) -> Trial:
    """Decode a trial. Raises msgspec.ValidationError."""
    return _trials.decode(data)
