"""Faults made on purpose between virtual hosts, and whether commcheck names them: the scoreboard.

list: the scenarios there are. run: make their faults, start their worlds, write the scoreboard (exit code 0: all as
expected). new: a file to begin with, for an incident of your own. check: is a file in order."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from commcheck.cli.options import command
from commcheck.cli.output import check_output, deliver
from commcheck.cli.parser import Parser
from commcheck.cli.progress import Progress
from commcheck.errors import UsageError

TYPE_CHECKING = False  # as in commcheck.cli.main

if TYPE_CHECKING:
    from commcheck.model.scenario import Scenario
    from commcheck.scenarios.load import Found
    from commcheck.scenarios.run import Kept, Ran
    from commcheck.scenarios.score import Board, Outcome

FORMS = ("text", "json", "markdown", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the four sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    listing = actions.add_parser("list", prog="commcheck scenario list", description="The scenarios there are.")
    _add_choice(listing)
    listing.add_argument("--kinds", action="store_true", help="list the kinds of faults instead")
    listing.add_argument("--format", choices=("text", "json"), default="text", help="form of the list (default: text)")
    running = actions.add_parser(
        "run", prog="commcheck scenario run", description="Run scenarios and write the scoreboard."
    )
    _add_choice(running)
    running.add_argument("--jobs", type=int, metavar="N", help="worlds at a time (default: half the cores)")
    running.add_argument("--format", choices=FORMS, default="text", help="form of the scoreboard (default: text)")
    running.add_argument("--output", metavar="FILE", help="write the scoreboard to FILE instead of standard output")
    running.add_argument("--quiet", action="store_true", help="no progress on standard error, only the scoreboard")
    running.add_argument("--save", metavar="DIR", help="leave a bundle there of each world that was not as expected")
    running.add_argument("--all", action="store_true", help="with --save: of every world")
    fresh = actions.add_parser("new", prog="commcheck scenario new", description="A scenario file to begin with.")
    fresh.add_argument("file", metavar="FILE", help="the file to make; one that exists is not overwritten")
    fresh.add_argument("--kind", metavar="KIND", help="the fault that it shows (default: drop; a wrong name lists all)")
    checking = actions.add_parser("check", prog="commcheck scenario check", description="Are scenario files in order?")
    checking.add_argument("files", nargs="*", metavar="FILE", help="scenario files (default: all in the folder)")
    checking.add_argument("--dir", metavar="DIR", help="the folder of scenarios (default: the shipped ones)")
    checking.add_argument("--schema", action="store_true", help="print the JSON Schema that editors use, and end")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="names, folders or patterns (default: all), or FILE.toml"
    )
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="only with this tag, family or cause")
    parser.add_argument("--sample", action="store_true", help="only a few that still have every cause")
    parser.add_argument("--dir", metavar="DIR", help="the folder of scenarios (default: the shipped ones)")


def run(args: argparse.Namespace) -> int:
    """Run the sub-command; returns its exit code."""
    actions = {"list": _list, "run": _run, "new": _new, "check": _check}
    return actions[args.action](args)


def _chosen(args: argparse.Namespace) -> tuple[Found, ...]:
    from commcheck.scenarios.choose import choose
    from commcheck.scenarios.load import Found, folder, load, load_all

    given = [n for n in args.names if n.endswith(".toml") and os.path.exists(n)]
    names = [n for n in args.names if n not in given]
    own = tuple(Found(n, Path(n), load(Path(n))) for n in given)
    if given and not names:
        return own
    return (*own, *choose(load_all(folder(args.dir)), names, args.tag, sample=args.sample))


def _list(args: argparse.Namespace) -> int:
    if args.kinds:
        from commcheck.scenarios.kinds import described

        kinds = described()
        width = max(map(len, kinds))
        for kind, what in kinds.items():
            print(f"{kind:<{width}}  {what}")
        return 0
    found = _chosen(args)
    if args.format == "json":
        import msgspec

        rows = [
            {"name": f.name, "title": f.scenario.title, "expect": f.scenario.expect, "tags": f.scenario.tags,
             "family": f.scenario.family, "file": str(f.path)}
            for f in found
        ]  # fmt: skip
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return 0
    width = max((len(f.name) for f in found), default=0)
    for f in found:
        said = f.scenario.expect.cause or f.scenario.expect.verdict.value
        print(f"{f.name:<{width}}  {said:<28}  {f.scenario.title}")
    return 0


def _run(args: argparse.Namespace) -> int:
    import time

    check_output(args)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: must be at least 1")
    found = _chosen(args)
    if not found:
        raise UsageError("no scenario has all of that: `commcheck scenario list` shows what there is")
    no_lab = _without_root(found)
    from commcheck.scenarios.jobs import run_all
    from commcheck.scenarios.score import board, skipped
    from commcheck.scenarios.to_text import line

    progress = Progress(quiet=args.quiet)
    done = 0

    def said(row: Outcome) -> None:
        nonlocal done
        done += 1
        progress.say(f"{done}/{len(found)}  {line(row)}")

    begin = time.monotonic()
    runnable = [f for f in found if not (no_lab and f.scenario.lab is not None)]
    jobs = args.jobs or max(1, (os.cpu_count() or 2) // 2)
    ran = {r.name: r for r in run_all(runnable, jobs, said, _keeping(args))}
    rows = [ran.get(f.name) or skipped(f.name, f.scenario, no_lab) for f in found]
    progress.done()
    result = board(rows, time.monotonic() - begin)
    _write(args, result)
    if not result.sum.scenarios:
        return 3
    return 0 if result.sum.as_expected == result.sum.scenarios else 1


def _keeping(args: argparse.Namespace) -> Kept | None:
    """What saves the worlds that --save asks for."""
    if args.save is None:
        if args.all:
            raise UsageError("--all says which worlds are saved: give --save DIR with it")
        return None
    from commcheck.replay.bundle import bundle_of
    from commcheck.replay.file import save

    try:
        Path(args.save).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--save {args.save}: {error.strerror or error}") from error

    def kept(row: Outcome, scenario: Scenario, ran: Ran) -> None:
        if args.all or row.problems:
            made = bundle_of(ran.plan, ran.case, ran.report, origin="scenario", name=row.name, scenario=scenario)
            save(made, Path(args.save, f"{row.name.replace('/', '-').removesuffix('.toml')}.zip"))

    return kept


def _without_root(found: tuple[Found, ...]) -> str:
    """Labs need root: a user who is not starts this command again as root of a user namespace, where that is allowed (then
    this does not return). Otherwise the reason why not; empty for root."""
    if all(f.scenario.lab is None for f in found):
        return ""
    from commcheck.errors import LaunchError
    from commcheck.lab.unprivileged import become_root

    try:
        become_root()
    except LaunchError as error:
        return str(error)
    return ""


def _write(args: argparse.Namespace, result: Board) -> None:
    if args.format == "json":
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n"
    elif args.format == "svg":
        from commcheck.scenarios.picture import svg

        text = svg(result)
    else:
        from commcheck.scenarios import to_text

        text = to_text.markdown(result) if args.format == "markdown" else to_text.text(result)
    deliver(args.output, lambda _: text)


def _new(args: argparse.Namespace) -> int:
    from commcheck.scenarios.template import text

    made = text(args.kind or "drop")
    try:
        with open(args.file, "x", encoding="utf-8") as file:
            file.write(made)
    except FileExistsError as error:
        raise UsageError(f"{args.file} exists already: choose another name, or edit it") from error
    except OSError as error:
        raise UsageError(f"{args.file}: {error.strerror or error}") from error
    print(f"{args.file}: describe your incident there, then: {command()[0]} scenario run {args.file}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from commcheck.scenarios.load import files, folder, load

    if args.schema:
        from commcheck.scenarios.schema import text

        sys.stdout.write(text())
        return 0
    paths = [Path(f) for f in args.files] or list(files(folder(args.dir)).values())
    from commcheck.errors import InputError

    wrong = []
    for path in paths:
        try:
            load(path)
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        for message in wrong[:-1]:
            sys.stderr.write(f"commcheck: error: {message}\n")
        raise InputError(wrong[-1])
    print(f"{len(paths)} scenario{'s' if len(paths) != 1 else ''} in order")
    return 0
