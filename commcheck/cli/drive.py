"""Start the ranks through the engine that has hosts for them, and judge once what all of them say.

Their reports come as records with the engine's output: over its own channel, and not over what is under test."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import select
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from commcheck.cli.collected import collected
from commcheck.cli.join import JOIN_DEADLINE, LAST_WORDS
from commcheck.cli.options import command
from commcheck.cli.output import emit, exit_code
from commcheck.cli.progress import Progress
from commcheck.diagnose import build
from commcheck.diagnose.logs import Reading
from commcheck.diagnose.match import Judgement, decided, judge
from commcheck.engines.base import RUN, Allocation, Engine, Launch, Wanted
from commcheck.engines.detecting import engines
from commcheck.errors import LaunchError, UsageError
from commcheck.model.case import Case
from commcheck.model.diagnosis import Verdict
from commcheck.runtime.podfile import template
from commcheck.runtime.pods import SAID
from commcheck.runtime.records import Collector
from commcheck.runtime.starting import ENDING, ended, started
from commcheck.runtime.watch import WORLD_DEADLINE

_BLOCK = 1 << 16
_KEPT = 1 << 14
"""Bytes of the engine's last words that are kept, and _LINES of them are told."""
_LINES = 4
_OWN = ("commcheck: rank ", "commcheck: interrupted", SAID)
COMING = 300.0
"""Seconds for pods to start, where nothing else is asked for: their image may have to be pulled first."""
LOOK = 0.5
"""Seconds between two looks at whether what was heard decides."""
_OPTIONS = ("backend", "master_addr", "master_port", "timeout", "deadline", "join_deadline")
_REPEATED = ("env", "inject")


def run(args: argparse.Namespace, held: Allocation) -> int:
    """Drive; returns the exit code of the verdict."""
    begin = time.monotonic()
    progress = Progress(quiet=args.quiet)
    (engine,) = [engine for engine in engines() if engine.name == held.engine]
    assert engine.render is not None
    run_id = secrets.token_hex(4)
    first = args.join_deadline or (COMING if engine.carrier else JOIN_DEADLINE)
    wanted = _wanted(args, held, engine, run_id, first)
    launch = engine.render(wanted)
    if engine.carrier:
        words, given = [sys.executable, "-m", engine.carrier, f"{first:g}"], launch.files[0][1]
        how, name = f"a job {wanted.name} of {wanted.nodes} pods", held.engine
    else:
        words, given = _without_files(launch)
        how, name = shlex.join(words), words[0]
    progress.say(f"starting the ranks: {how}")
    heard = _Heard(run_id, progress, wanted.world_size, carried=bool(engine.carrier))
    whole = (args.deadline or max(WORLD_DEADLINE, 2 * first)) + LAST_WORDS + ENDING
    code = _run(words, given, heard, first + whole if launch.at_end or engine.carrier else first, whole)
    case, found, notes = heard.case(name, code)
    report = build.report(
        case,
        found,
        command=command(),
        seconds=time.monotonic() - begin,
        replay=f"commcheck diagnose {args.report_dir}" if args.report_dir else "",
        notes=(f"{held.engine} started the ranks: {how}", *notes),
    )
    progress.done()
    emit(report, args)
    return exit_code(report.verdict, args.format)


def _wanted(args: argparse.Namespace, held: Allocation, engine: Engine, run_id: str, first: float) -> Wanted:
    """What is to be started. Raises UsageError."""
    for name in ("rank_env", "netns"):
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option}: {held.engine} starts the ranks, each with the same words; give --local for a world here"
            )
    away = bool(engine.carrier)
    if away and args.report_dir is not None:
        raise UsageError(
            f"--report-dir {args.report_dir}: a directory here is none in {held.engine}'s pods: leave it out"
        )
    nodes, ranks = _shape(args, held, away=away)
    options: list[str] = ["--quiet"]
    for name in _OPTIONS:
        value = first if away and name == "join_deadline" else getattr(args, name)
        if value is not None and not (name == "backend" and value == "auto"):
            options += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    for name in _REPEATED:
        options += [word for text in getattr(args, name) for word in (f"--{name}", text)]
    if args.report_dir is not None:
        options += ["--report-dir", str(Path(args.report_dir).absolute())]
    per_node = ranks // nodes if nodes else 0
    return Wanted(
        nodes=nodes,
        ranks_per_node=per_node,
        size=ranks,
        master_port=args.master_port or 29500,
        options=tuple(options),
        program=("commcheck",) if away else (sys.executable, "-m", "commcheck"),
        image=args.image or "",
        name=f"commcheck-{run_id}" if away else "commcheck",
        run=run_id if away else "",
        gpus=per_node if "nccl" in args.backend else 0,
        pod=_pod(args, away=away),
    )


def _shape(args: argparse.Namespace, held: Allocation, *, away: bool) -> tuple[int, int]:
    """How many hosts and ranks. Raises UsageError."""
    nodes = args.nodes or held.nodes or (args.world_size or 0 if away else 0)
    if away and not nodes:
        raise UsageError(f"--on {held.engine}: say how many pods are to be started: --nodes N")
    if held.nodes and nodes > held.nodes:
        raise UsageError(f"--nodes {nodes}: the allocation has {held.nodes}")
    as_asked = held.ranks if nodes == held.nodes else held.ranks // held.nodes * nodes if held.nodes else 0
    ranks = args.world_size or as_asked or (nodes if away else 0)
    if nodes and ranks % nodes:
        raise UsageError(f"{ranks} ranks on {nodes} hosts: give --world-size a multiple of {nodes}")
    return nodes, ranks


def _pod(args: argparse.Namespace, *, away: bool) -> dict[str, Any]:
    """The job's own pod template, where one is given. Raises UsageError and InputError."""
    given = next((f"--{name} {value}" for name in ("image", "pod") if (value := getattr(args, name)) is not None), None)
    if not away:
        if given is not None:
            raise UsageError(f"{given}: only pods have one: give --on kubernetes")
        return {}
    if given is None:
        raise UsageError(
            "--on kubernetes: say what the pods run: --image IMAGE with commcheck and your torch in it, or --pod FILE, the "
            "manifest of your own job"
        )
    if args.pod is None:
        return {}
    return template(args.pod)


def _without_files(launch: Launch) -> tuple[list[str], str]:
    """The engine's command, and what its standard input is: a script that it runs, so that no file is left behind."""
    words = shlex.split(launch.commands[0])
    script = next(((name, text) for name, text in launch.files if name in words), ("", ""))
    return ["-" if word == script[0] else word for word in words], script[1]


def _run(words: list[str], given: str, heard: _Heard, first: float, all_: float) -> int:
    """Run the engine's command to its end, or until what was heard decides, and let its output be heard; at most `first` seconds
    until a rank says its first word, and `all_` from then on, which is longer than any rank's own watch. `given`: for its
    standard input. Raises LaunchError."""
    engine = started(words, {**os.environ, RUN: heard.run}, talking=bool(given))
    assert engine.stdout is not None
    if engine.stdin is not None:
        with engine.stdin, contextlib.suppress(BrokenPipeError):
            engine.stdin.write(given.encode())
    with engine.stdout:
        try:
            deadline = time.monotonic() + first
            while (left := deadline - time.monotonic()) > 0:
                if select.select([engine.stdout], [], [], min(left, heard.next_look()))[0]:
                    block = os.read(engine.stdout.fileno(), _BLOCK)
                    if not block:
                        return engine.wait()
                    if heard.feed(block):
                        deadline = time.monotonic() + all_
                if heard.decided():
                    break
            else:
                heard.overdue()
            engine.terminate()
            # What it says of being ended, with no rank there, is no evidence.
            deadline = time.monotonic() + (ENDING if heard.ranks else 0.0)
            while (left := deadline - time.monotonic()) > 0 and select.select([engine.stdout], [], [], left)[0]:
                block = os.read(engine.stdout.fileno(), _BLOCK)
                if not block:
                    break
                heard.feed(block)  # the ranks' last words
        finally:
            heard.finish()
            ended(engine)
        return engine.returncode


class _Heard:
    """What comes through the engine: the ranks' records, and its own words."""

    def __init__(self, run: str, progress: Progress, size: int, *, carried: bool) -> None:
        self.run = run
        self._size = size
        self._carried = carried
        self._progress = progress
        self._records, self._reading = Collector(), Reading()
        self._source = self._reading.source("the engine's output")
        self._words = b""
        self.ranks = 0
        self._late = ""
        self._fresh = False
        self._due = 0.0

    def feed(self, block: bytes) -> bool:
        """Take what has come; whether it is the first word of a rank at all."""
        text = self._records.feed(block)
        self._fresh = self._fresh or len(text) != len(block)
        self._take(text)
        before, self.ranks = self.ranks, self._records.ranks(self.run)
        if self.ranks > before:
            self._progress.say(f"heard of {self.ranks} rank(s)")
        return self.ranks > before == 0

    def next_look(self) -> float:
        """Seconds until it is to be seen whether what is known decides."""
        return max(0.0, self._due - time.monotonic()) if self._fresh else WORLD_DEADLINE

    def decided(self) -> bool:
        """Whether a rank that has ended its own watch is sure of a fault, and what the others have said does not speak against
        it: those would go on until their deadline, waiting for it. Of whom nothing was heard, that is waited for: it may be
        their host that is at fault."""
        begin = time.monotonic()
        if not self._fresh or begin < self._due:
            return False
        self._fresh = False
        if not 0 < self._size <= self.ranks:
            return False
        merged = collected(self._records, run=self.run, cut=True)
        sure = merged is not None and merged.done > 0 and decided(merged.case)
        # Of a thousand ranks that takes a second, and is not done after each word.
        self._due = time.monotonic() + max(LOOK, 10 * (time.monotonic() - begin))
        return sure

    def overdue(self) -> None:
        """Waiting any longer is of no use."""
        self._late = (
            "the engine had not ended long after its ranks should have" if self.ranks else "nothing came in time"
        )

    def finish(self) -> None:
        self._take(self._records.finish())
        self._source.finish()

    def _take(self, text: bytes) -> None:
        self._source.feed(text)
        self._words = (self._words + text)[-_KEPT:]
        if not self.ranks and (
            last := text.decode(errors="replace").strip()
        ):  # until then its words are all there is to see
            self._progress.say(last.splitlines()[-1].removeprefix("commcheck: "))

    def case(self, engine: str, code: int) -> tuple[Case, Judgement, tuple[str, ...]]:
        """What is known now, and what is made of it. Raises LaunchError where that is nothing."""
        said = [text for line in self._words.decode(errors="replace").splitlines() if (text := line.strip())]
        said = [line for line in dict.fromkeys(said) if not any(own in line for own in _OWN)][-_LINES:]
        merged = collected(self._records, run=self.run)
        if merged is not None:
            late = (f"{engine} was ended: {self._late}",) if self._late else ()
            notes = (*merged.notes, *late, *(f"{engine} said: {line}" for line in said))
            found = judge(merged.case)
            if found.verdict is not Verdict.HEALTHY and not found.named:
                printed = judge(words := self._reading.case())
                if printed.verdict is Verdict.UNHEALTHY:
                    return words, printed, (*notes, "the ranks' own reports leave it open: this is of what was printed")
            return merged.case, found, notes
        if code == LaunchError.exit_code and self._carried and said:
            raise LaunchError(said[-1])  # our own carrier says what it could not do
        case = self._reading.case()
        found = judge(case)
        if found.verdict is not Verdict.UNHEALTHY:
            why = f"was ended, since {self._late}," if self._late else f"ended with exit code {code}"
            last = f": {said[-1]}" if said else ""
            raise LaunchError(f"{engine} {why} before any rank said a word{last}")
        return (
            case,
            found,
            (f"no rank said a word: this is of what {engine} said before it ended with exit code {code}",),
        )
