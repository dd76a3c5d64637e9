"""The `commcheck` command: choose a verb, import its module, turn what it raises into one line and an exit code.

Exit codes: 0 healthy, 1 unhealthy, 2 wrong usage or input, 3 inconclusive (our own failures included: they say
nothing about the user's world), 130 interrupted.
"""

import gc
import os
import sys

from commcheck import __version__
from commcheck.errors import CommcheckError, UsageError, did_you_mean

# Type checkers take this name for true. Importing `typing` for it would double the time of --help.
TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Protocol

    class Verb(Protocol):
        """What the module of a verb offers. Its docstring is the text of its help."""

        __doc__: str | None

        def add_arguments(self, parser: argparse.ArgumentParser) -> None:
            """Declare the verb's arguments."""

        def run(self, args: argparse.Namespace) -> int:
            """Do it and return the exit code."""


# The verbs in the order of a newcomer's interest: name -> one line of help. The module is commcheck.cli.NAME.
VERBS: dict[str, str] = {
    "preflight": "form the world that the job would form, check it phase by phase, name the cause, try the fix",
    "lint": "check this host's settings and facts, without starting anything",
    "diagnose": "find the cause in what a job left behind: logs, report directories, standard input",
    "run": "run a job, its output and exit code untouched; if it fails or stands still, say why",
    "suggest": "find the smallest environment that forms the world here, and prove it by running it",
    "cluster": "measure every host against every other: which hosts and links are bad, and what differs",
    "plan": "print what would be started to run a preflight under torchrun, Slurm, MPI, Ray or Kubernetes",
    "explain": "show a symptom, cause, code or fix pattern as a manual page",
    "scenario": "make faults between virtual hosts and score whether they are named: list, run, new, check",
    "explore": "search the settings of this host or a lab with real worlds: what works, what fails, and why",
    "replay": "run a saved world again, on virtual hosts if need be; or a job's calls, from its flight recorder's dumps",
}

INTERRUPTED = 130
INCONCLUSIVE = 3


def usage() -> str:
    """The text of `commcheck --help`: written by hand, because argparse would double its time."""
    width = max(map(len, VERBS))
    rows = "\n".join(f"  {name:<{width}}  {line}" for name, line in VERBS.items())
    return f"""\
usage: commcheck VERB [options]
       commcheck VERB --help
       commcheck --version

Will this job's distributed-training communication work, and if not, which setting on which rank is wrong?

verbs:
{rows}

exit codes:
  0 healthy   1 unhealthy (a fault was found)   2 wrong usage or input   3 inconclusive   130 interrupted

environment:
  NO_COLOR=1              no colour, whatever the terminal
  COMMCHECK_TRACEBACK=1   print the Python traceback of an internal error
"""


def load(name: str) -> "Verb":
    """Import the module of a verb; an unknown one is the user's error, with the nearest known name."""
    if name not in VERBS:
        every = f"the verbs are {', '.join(VERBS)}"
        raise UsageError(f"unknown verb {name!r}: {did_you_mean(name, VERBS, every)}")
    import importlib

    import_msgspec()
    verb: Verb = importlib.import_module(f"commcheck.cli.{name}")
    return verb


def import_msgspec() -> None:
    """Import msgspec as if typing_extensions were not installed.

    Where it is (torch brings it along), msgspec takes three names from it that typing has had since Python 3.11, and so
    loads inspect, ast and tokenize: a third of its time, and every light command pays for it."""
    if "typing_extensions" in sys.modules or "msgspec" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # the documented way to block an import
    try:
        import msgspec  # noqa: F401
    except ImportError:
        pass  # a version that cannot do without: it is imported again, undisturbed, by whoever needs it
    finally:
        del sys.modules["typing_extensions"]


def dispatch(arguments: "Sequence[str]") -> int:
    """Run what the arguments ask for and return the exit code; errors are the caller's."""
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        if arguments[1:]:  # `commcheck help lint` is `commcheck lint --help`
            return dispatch([arguments[1], "--help"])
        if not arguments:
            sys.stderr.write(usage())
            return 2
        sys.stdout.write(usage())
        return 0
    if arguments[0] in {"-V", "--version"}:
        sys.stdout.write(f"commcheck {__version__}\n")
        return 0
    name = arguments[0]
    if name.startswith("-"):
        raise UsageError(f"unknown option {name!r}: a verb comes first (see commcheck --help)")
    verb = load(name)
    from commcheck.cli.parser import Parser

    parser = Parser(prog=f"commcheck {name}", description=verb.__doc__)
    verb.add_arguments(parser)
    args = parser.parse_args(list(arguments[1:]))
    if getattr(args, "output", None) is not None:
        from commcheck.cli.output import check_output

        check_output(args)
    return verb.run(args)


def main(argv: "Sequence[str] | None" = None) -> int:
    """The entry point: never raises, never prints a traceback unless it is asked to."""
    # Start-up makes many objects and no garbage; collecting there costs a light command a twentieth of its time.
    gc.set_threshold(50_000, 20, 20)
    # A log line with a byte that the terminal's encoding lacks must not cost the verdict.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        code = dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except CommcheckError as error:
        return complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED, kind="")
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python would flush stdout once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except SystemExit as leaving:  # argparse, after --help
        return leaving.code if isinstance(leaving.code, int) else 0
    except Exception as error:
        return internal_error(error)
    finally:
        # On its way out Python would look through all that is left for cycles: a tenth of a light command's time.
        gc.freeze()
    return code


def internal_error(error: Exception) -> int:
    """Our own failure: where it was, in one line; the traceback only on request."""
    if os.environ.get("COMMCHECK_TRACEBACK"):
        import traceback

        traceback.print_exc()
        shown = "the traceback is above"
    else:
        shown = "COMMCHECK_TRACEBACK=1 prints the traceback"
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = f"{type(error).__name__}: {error}{place} (this says nothing about your world; {shown})"
    return complain(text, INCONCLUSIVE, kind="internal error: ")


def complain(text: str, code: int, kind: str = "error: ") -> int:
    """Say it in one line on standard error, and hand the exit code through."""
    line = " ".join(text.split())
    try:
        sys.stdout.flush()
        sys.stderr.write(f"commcheck: {kind}{line}\n")
        sys.stderr.flush()
    except OSError:
        pass
    return code


if __name__ == "__main__":
    sys.exit(main())
