"""Search the configurations of this host, or of a lab, with real worlds: which settings work, which do not, and why.

Each setting is tried by itself, then every combination of --strength settings; what fails is shrunk to the fewest settings
that still fail, and believed when it has failed three times. Exit code 0: the base works, and all worlds did what was
predicted; 1: the base does not work, or something happened that was not predicted; 3: it could not be found out."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from commcheck.cli.output import check_output, deliver, text_width
from commcheck.cli.progress import Progress
from commcheck.errors import UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from commcheck.explore.drive import Budget
    from commcheck.explore.findings import Exploration
    from commcheck.generate.parameter import Space
    from commcheck.model.fault import FaultSpec
    from commcheck.model.topology import Topology

FORMS = ("text", "json", "html", "svg")
METHODS = ("covering", "random", "one-at-a-time")
STRENGTHS = (1, 2, 3, 4)
UNITS = {"s": 1, "m": 60, "h": 3600}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is searched, for how long, and how it is told."""
    parser.add_argument("--budget", default="60s", metavar="N", help="worlds (500), or time (60s, 10m) (default: 60s)")
    parser.add_argument(
        "--strength", type=int, default=2, choices=STRENGTHS, help="settings that are combined (default: 2)"
    )
    parser.add_argument(
        "--focus", action="append", nargs="+", default=[], metavar="NAME", help="only these parameters, or patterns"
    )
    parser.add_argument("--lab", metavar="FILE", help="virtual hosts (a [lab] as in a scenario) in place of this host")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed, the same findings (default: 0)"
    )
    parser.add_argument("--method", choices=METHODS, default="covering", help="how to search (default: covering)")
    parser.add_argument("--jobs", type=int, metavar="N", help="worlds at once (default: the cores)")
    parser.add_argument("--list", action="store_true", help="list the parameters and their choices, and start nothing")
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMS, default="text", help="form of the result (default: text)")
    group.add_argument("--output", metavar="FILE", help="write the result to FILE instead of standard output")
    group.add_argument("--save", metavar="DIR", help="leave each finding as a bundle there, for commcheck replay")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run(args: argparse.Namespace) -> int:
    """Search, print, and return the exit code. Raises UsageError, InputError and LaunchError."""
    check_output(args)
    limit = budget(args.budget)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: must be at least 1")
    topology, faults = _lab(args.lab)
    space = _space(topology, [name for names in args.focus for name in names])
    if args.list:
        _list(space)
        return 0
    if topology is not None:
        from commcheck.lab.unprivileged import become_root

        become_root()
    done = _explored(args, space, topology, faults, limit)
    _write(args, done)
    if args.save is not None:
        from commcheck.explore.kept import keep

        progress = Progress(quiet=args.quiet)
        keep(done, args.save, topology, faults, progress.say)
        progress.done()
    return exit_code(done)


def budget(text: str) -> Budget:
    """Worlds, or a time with its unit. Raises UsageError."""
    from commcheck.explore.drive import Budget

    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if found is None or not int(found[1]):
        raise UsageError(f"--budget {text}: give a number of worlds (500) or a time (60s, 10m)")
    if found[2]:
        return Budget(seconds=float(int(found[1]) * UNITS[found[2]]))
    return Budget(worlds=int(found[1]))


def exit_code(done: Exploration) -> int:
    """0 nothing unforeseen, 1 something, 3 it could not be found out, 130 interrupted."""
    from commcheck.explore.drive import INTERRUPTED

    if done.ended == INTERRUPTED:
        return 130
    if done.base != "healthy":
        return 1 if done.base == "unhealthy" else 3
    if any(f.surprise for g in done.groups for f in g.findings):
        return 1
    return 3 if any(f.surprise for f in done.unsure) or done.unshrunk else 0


def _lab(path: str | None) -> tuple[Topology | None, tuple[FaultSpec, ...]]:
    if path is None:
        return None, ()
    from commcheck.explore.labfile import load

    return load(Path(path))


def _space(topology: Topology | None, focus: list[str]) -> Space:
    from commcheck.generate.space import chosen, host_space, lab_space

    if topology is not None:
        return chosen(lab_space(topology), focus)
    from commcheck.probe.facts import host_facts

    return chosen(host_space(host_facts(os.uname().nodename)), focus)


def _list(space: Space) -> None:
    for parameter in space.parameters:
        print(f"{parameter.name}: {', '.join(choice.name for choice in parameter.choices)}")


def _explored(
    args: argparse.Namespace,
    space: Space,
    topology: Topology | None,
    faults: tuple[FaultSpec, ...],
    limit: Budget,
) -> Exploration:
    from commcheck.explore.drive import explore
    from commcheck.explore.search import Search
    from commcheck.explore.worlds import Worlds
    from commcheck.generate.space import slow

    late = slow(space)
    notes = (f"worlds with {', '.join(late)} take seconds: it is read when torch is imported",) if late else ()
    progress = Progress(quiet=args.quiet)
    progress.say(f"{len(space.parameters)} parameters; starting the worlds' processes")
    search = Search(space, method=args.method, strength=args.strength, seed=args.seed)
    with Worlds(topology, jobs=args.jobs or 0, faults=faults) as worlds:
        done = explore(search, worlds, limit, progress.say, notes)
    progress.done()
    return done


def _write(args: argparse.Namespace, done: Exploration) -> None:
    deliver(args.output, lambda _: _rendered(args.format, done))


def _rendered(form: str, done: Exploration) -> str:
    """The result in the form asked for; only that form's module is imported."""
    if form == "json":
        import msgspec

        return msgspec.json.format(msgspec.json.encode(done), indent=2).decode() + "\n"
    if form == "html":
        from commcheck.explore.to_html import render

        return render(done)
    if form == "svg":
        from commcheck.explore.picture import svg

        return svg(done)
    from commcheck.explore.to_text import render as render_text

    return render_text(done, text_width(sys.stdout))
