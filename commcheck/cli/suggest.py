"""Find the settings that work here: the smallest environment that forms the world on these hosts, proven by running it.

First nothing is set; what fails, and why, says what is tried next. Each setting of the answer was taken away once, and the
world then failed. On several hosts, start it in place of your script, once per rank, with a --report-dir DIR that all ranks
see. Exit codes: 0 settings were found (or none are needed), 1 nothing forms, 3 that could not be judged."""

from __future__ import annotations

import argparse
import os
import sys

from commcheck.cli.options import gpu_count, namespace, of_rank
from commcheck.cli.output import check_output, exit_code, text_width
from commcheck.cli.progress import Progress
from commcheck.errors import UsageError
from commcheck.model.plan import Place

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from commcheck.suggest.model import Cluster, Suggestion
    from commcheck.suggest.survey import Ask
    from commcheck.suggest.trials import Run

FORMS = ("shell", "slurm", "torchrun", "kubernetes", "dockerfile")
BACKENDS = ("auto", "gloo", "nccl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `commcheck suggest`."""
    world = parser.add_argument_group("the world")
    world.add_argument(
        "--world-size", type=int, metavar="N", help="number of ranks (default: the number of GPUs, else 2)"
    )
    world.add_argument("--backend", choices=BACKENDS, default="auto", help="as of preflight (default: auto)")
    world.add_argument(
        "--netns", action="append", default=[], metavar="R:NAME", help="rank R runs in that network namespace"
    )
    world.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="timeout of store and collectives that the job sets (torch's own: 1800)",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--max-worlds", type=int, metavar="N", help="worlds that may be tried (default: 40)")
    how.add_argument("--max-seconds", type=float, metavar="S", help="after which no world is begun (default: 90)")
    how.add_argument("--local", action="store_true", help="start worlds here although a launcher's variables are set")
    how.add_argument(
        "--report-dir",
        metavar="DIR",
        help="a directory that all ranks of a launcher see: they meet there, and clean up",
    )
    how.add_argument(
        "--join-deadline", type=float, metavar="S", help="how long they wait for each other at first (default: 60)"
    )
    out = parser.add_argument_group("output")
    out.add_argument(
        "--for",
        dest="form",
        choices=FORMS,
        help="print the settings for that, ready to use, with all else as comments (default: an answer to read)",
    )
    out.add_argument("--format", choices=("text", "json"), default="text", help="form of the answer (default: text)")
    out.add_argument("--output", metavar="FILE", help="write the answer to FILE instead of standard output")
    out.add_argument("--quiet", action="store_true", help="no progress on standard error, only the answer")


def run(args: argparse.Namespace) -> int:
    """Search, print, and return the exit code."""
    check_output(args)
    size, backend = _world(args)
    from commcheck.cli.preflight import joins

    progress = Progress(quiet=args.quiet)
    if joins(os.environ) and not args.local:
        return _joined(args, progress)
    from commcheck.runtime.launcher import Launcher
    from commcheck.suggest.environment import split
    from commcheck.suggest.survey import from_here, survey
    from commcheck.suggest.trials import forked

    base, given = split(os.environ)
    places = _places(args, size)
    with Launcher(base) as launcher:
        progress.say("importing torch")
        launcher.warm()  # before anything is looked at: a busy host finds names late
        progress.say(f"looking at {len(places)} host(s)")
        cluster = survey(places, size=size, backend=backend, base=base, timeout=args.timeout)
        found = _answer(args, cluster, forked(launcher), given, progress, from_here)
    _write(args, _text(args, found))
    return exit_code(found.verdict)


def _answer(
    args: argparse.Namespace, cluster: Cluster, run: Run, given: Mapping[str, str], progress: Progress, ask: Ask
) -> Suggestion:
    from commcheck.suggest.answer import answer
    from commcheck.suggest.trials import Budget

    usual = Budget()
    budget = Budget(worlds=args.max_worlds or usual.worlds, seconds=args.max_seconds or usual.seconds)
    gpus = gpu_count(os.environ)
    asked = ask if not gpus and _concerns_nccl(args) else None
    found = answer(cluster, run, budget=budget, given=given, gpus=gpus, ask=asked, progress=progress.say)
    progress.done()
    return found


def _concerns_nccl(args: argparse.Namespace) -> bool:
    """The job is to use NCCL, or may: a libnccl is installed, and nothing says that another backend is meant."""
    from commcheck.probe.nccl_find import find

    return bool(args.backend == "nccl" or (args.backend == "auto" and find(os.environ).path))


def _joined(args: argparse.Namespace, progress: Progress) -> int:
    """As the one process of a rank that somebody's launcher has made. Rank 0's searches and prints, the others do their
    part; all return the same exit code. Raises UsageError and LaunchError."""
    import msgspec

    from commcheck.engines.detecting import completed
    from commcheck.runtime.launcher import Launcher
    from commcheck.suggest.environment import split
    from commcheck.suggest.joined import Joint, Part
    from commcheck.suggest.meeting import MEETING_DEADLINE, Meeting
    from commcheck.suggest.survey import survey

    environ = dict(os.environ) | completed(os.environ)[0]
    rank, size = environ.get("RANK", ""), environ.get("WORLD_SIZE", "")
    if not rank.isdigit() or not size.isdigit() or int(rank) >= int(size):
        raise UsageError(f"RANK={rank} and WORLD_SIZE={size} name no rank of a world; --local starts a world here")
    if args.report_dir is None:
        raise UsageError(
            "RANK or WORLD_SIZE is set, so the ranks are this launcher's: give --report-dir DIR, where they meet, or --local"
        )
    base, left = split(os.environ)
    given = {k: v for k, v in left.items() if not k.startswith("MASTER_")}  # those are the launcher's
    _, backend = _world(args)
    deadline = args.join_deadline or MEETING_DEADLINE
    with Launcher(base) as launcher:
        launcher.begin()
        with Meeting(args.report_dir, int(rank), int(size), deadline=deadline) as meeting:
            progress.say("importing torch")
            launcher.warm()  # before anything is looked at: a busy host finds names late
            if meeting.me.rank != 0:
                return meeting.jobs(Part(meeting, launcher).do)
            joint = Joint(meeting, launcher)
            progress.say(f"looking at {len(joint.places)} host(s)")
            cluster = survey(
                joint.places, size=int(size), backend=backend, base=base, timeout=args.timeout, ask=joint.ask
            )
            found = _answer(args, cluster, joint.run, given, progress, joint.ask)
            found = msgspec.structs.replace(found, notes=_notes(found))
            meeting.code = exit_code(found.verdict)
    _write(args, _text(args, found))
    return exit_code(found.verdict)


def _notes(found: Suggestion) -> tuple[str, ...]:
    if "TORCHELASTIC_RUN_ID" not in os.environ or "MASTER_PORT" not in {s.name for s in found.settings}:
        return ()
    return (
        "torchrun was there while this ran: where its own store has the usual port, MASTER_PORT is needed for that alone",
    )


def _world(args: argparse.Namespace) -> tuple[int, str]:
    """Size and backend. Raises UsageError."""
    from commcheck.planner import check_size

    gpus = gpu_count(os.environ)
    size = gpus or 2 if args.world_size is None else args.world_size
    check_size(size)
    for name in ("max_worlds", "max_seconds", "join_deadline", "timeout"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: must be more than 0")
    return size, ("nccl" if gpus and size <= gpus else "gloo") if args.backend == "auto" else args.backend


def _places(args: argparse.Namespace, size: int) -> list[Place]:
    """The hosts in the order of their ranks. Raises UsageError for a rank that comes back to an earlier host: launchers
    fill one host after the other."""
    here = Place(host=os.uname().nodename)
    named = dict(of_rank("--netns", text, size, namespace) for text in args.netns)
    all_places = [Place(host=named[r], netns=named[r]) if r in named else here for r in range(size)]
    places = list(dict.fromkeys(all_places))
    filled = [places[r * len(places) // size] for r in range(size)]
    if filled != all_places:
        raise UsageError("--netns: give the hosts their ranks one after the other, and all the same number")
    return places


def _text(args: argparse.Namespace, found: Suggestion) -> str:
    if args.format == "json":
        import msgspec

        return msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"
    from commcheck.suggest.text import form_named, render

    commented = args.form is not None
    return render(found, form_named(args.form or "shell"), commented=commented, width=text_width(sys.stdout))


def _write(args: argparse.Namespace, text: str) -> None:
    if args.output is None:
        sys.stdout.write(text)
        return
    try:
        with open(args.output, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        sys.stdout.write(text)  # the answer was dear: it is not lost with the file
        raise UsageError(f"--output {args.output}: {error.strerror or error}") from error
