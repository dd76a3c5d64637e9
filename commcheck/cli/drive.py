"""Start the ranks through the engine that has hosts for them, and judge once what all of them say.

Their reports come as records with the engine's output: over its own channel, and not over what is under test."""

from __future__ import annotations

import argparse
import os
import secrets
import select
import shlex
import sys
import tempfile
import time
from pathlib import Path

from commcheck.cli.collected import collected
from commcheck.cli.join import JOIN_DEADLINE, LAST_WORDS
from commcheck.cli.options import command
from commcheck.cli.output import emit, exit_code
from commcheck.cli.progress import Progress
from commcheck.diagnose import build
from commcheck.diagnose.logs import Reading
from commcheck.diagnose.match import judge
from commcheck.engines.base import Allocation, Launch, Wanted
from commcheck.engines.detecting import engines
from commcheck.errors import LaunchError, UsageError
from commcheck.model.case import Case
from commcheck.model.diagnosis import Verdict
from commcheck.runtime.records import Collector
from commcheck.runtime.speaker import RUN
from commcheck.runtime.starting import ENDING, ended, started
from commcheck.runtime.watch import WORLD_DEADLINE

_BLOCK = 1 << 16
_KEPT = 1 << 14
"""Bytes of the engine's last words that are kept, and _LINES of them are told."""
_LINES = 4
_OWN = "commcheck: rank "
_OPTIONS = ("backend", "master_addr", "master_port", "timeout", "deadline", "join_deadline")
_REPEATED = ("env", "inject")


def run(args: argparse.Namespace, held: Allocation) -> int:
    """Drive; returns the exit code of the verdict."""
    begin = time.monotonic()
    progress = Progress(quiet=args.quiet)
    wanted = _wanted(args, held)
    (engine,) = [engine for engine in engines() if engine.name == held.engine]
    assert engine.render is not None
    run_id = secrets.token_hex(4)
    with tempfile.TemporaryDirectory(prefix="commcheck-") as directory:
        launch = engine.render(wanted)
        words = _placed(launch, directory)
        progress.say(f"starting the ranks: {shlex.join(words)}")
        heard = _Heard(run_id, progress)
        first = args.join_deadline or JOIN_DEADLINE
        whole = (args.deadline or max(WORLD_DEADLINE, 2 * first)) + LAST_WORDS + ENDING
        code = _run(words, heard, first + whole if launch.at_end else first, whole)
    case, notes = heard.case(words[0], code)
    report = build.report(
        case,
        judge(case),
        command=command(),
        seconds=time.monotonic() - begin,
        replay=f"commcheck diagnose {args.report_dir}" if args.report_dir else "",
        notes=(f"{held.engine} started the ranks: {shlex.join(words)}", *notes),
    )
    progress.done()
    emit(report, args)
    return exit_code(report.verdict, args.format)


def _wanted(args: argparse.Namespace, held: Allocation) -> Wanted:
    """What is to be started. Raises UsageError."""
    for name in ("rank_env", "netns"):
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option}: {held.engine} starts the ranks, each with the same words; give --local for a world here"
            )
    ranks = args.world_size or held.ranks
    if held.nodes and ranks % held.nodes:
        raise UsageError(f"{ranks} ranks on {held.nodes} hosts: give --world-size a multiple of {held.nodes}")
    options: list[str] = ["--quiet"]
    for name in _OPTIONS:
        value = getattr(args, name)
        if value is not None and not (name == "backend" and value == "auto"):
            options += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    for name in _REPEATED:
        options += [word for text in getattr(args, name) for word in (f"--{name}", text)]
    if args.report_dir is not None:
        options += ["--report-dir", str(Path(args.report_dir).absolute())]
    return Wanted(
        nodes=held.nodes,
        ranks_per_node=ranks // held.nodes if held.nodes else 0,
        size=ranks,
        master_port=args.master_port or 29500,
        options=tuple(options),
        program=(sys.executable, "-m", "commcheck"),
    )


def _placed(launch: Launch, directory: str) -> list[str]:
    """The engine's command, its files written."""
    files = {name: str(Path(directory) / name) for name, _ in launch.files}
    for name, text in launch.files:
        Path(files[name]).write_text(text, encoding="utf-8")
    return [files.get(word, word) for word in shlex.split(launch.commands[0])]


def _run(words: list[str], heard: _Heard, first: float, all_: float) -> int:
    """Run the engine's command to its end, and let its output be heard; at most `first` seconds until a rank says its first
    word, and `all_` from then on, which is longer than any rank's own watch. Raises LaunchError."""
    engine = started(words, {**os.environ, RUN: heard.run})
    assert engine.stdout is not None
    with engine.stdout:
        try:
            deadline = time.monotonic() + first
            while select.select([engine.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                block = os.read(engine.stdout.fileno(), _BLOCK)
                if not block:
                    heard.finish()
                    return engine.wait()
                if heard.feed(block):
                    deadline = time.monotonic() + all_
            heard.overdue()
            heard.finish()
        except BaseException:
            ended(engine)
            raise
        ended(engine)
        return engine.returncode


class _Heard:
    """What comes through the engine: the ranks' records, and its own words."""

    def __init__(self, run: str, progress: Progress) -> None:
        self.run = run
        self._progress = progress
        self._records, self._reading = Collector(), Reading()
        self._source = self._reading.source("the engine's output")
        self._words = b""
        self._ranks = 0
        self._late = ""

    def feed(self, block: bytes) -> bool:
        """Take what has come; whether it is the first word of a rank at all."""
        self._take(self._records.feed(block))
        before, self._ranks = self._ranks, self._records.ranks(self.run)
        if self._ranks > before:
            self._progress.say(f"heard of {self._ranks} rank(s)")
        return self._ranks > before == 0

    def overdue(self) -> None:
        """Waiting any longer is of no use."""
        self._late = (
            "the engine had not ended long after its ranks should have" if self._ranks else "nothing came in time"
        )

    def finish(self) -> None:
        self._take(self._records.finish())
        self._source.finish()

    def _take(self, text: bytes) -> None:
        self._source.feed(text)
        self._words = (self._words + text)[-_KEPT:]

    def case(self, engine: str, code: int) -> tuple[Case, tuple[str, ...]]:
        """What is known now. Raises LaunchError where that is nothing."""
        said = [text for line in self._words.decode(errors="replace").splitlines() if (text := line.strip())]
        said = [line for line in dict.fromkeys(said) if _OWN not in line][-_LINES:]
        merged = collected(self._records, run=self.run)
        if merged is not None:
            case, notes = merged
            late = (f"{engine} was ended: {self._late}",) if self._late else ()
            return case, (*notes, *late, *(f"{engine} said: {line}" for line in said))
        case = self._reading.case()
        if judge(case).verdict is not Verdict.UNHEALTHY:
            why = f"was ended, since {self._late}," if self._late else f"ended with exit code {code}"
            last = f": {said[-1]}" if said else ""
            raise LaunchError(f"{engine} {why} before any rank said a word{last}")
        return case, (f"no rank said a word: this is of what {engine} said before it ended with exit code {code}",)
