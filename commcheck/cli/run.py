"""Run a job under watch: `commcheck run -- torchrun train.py`. Its input, output, signals and exit code pass through
untouched. If it fails, or makes no progress for a while, the diagnosis follows on standard error.

The exit code is the job's (128 + N where signal N ended it; 127: no such command, 126: it cannot be run). If commcheck
itself is killed (SIGKILL), the job gets SIGTERM. A job that stands still is named and left alone."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from commcheck.errors import UsageError

if TYPE_CHECKING:
    from commcheck.model.case import Case, LogLine
    from commcheck.model.diagnosis import Report
    from commcheck.runtime.passing import Command

STALL = 180.0
"""Seconds without output and without work after which it is looked why. Below the watchdogs of NCCL (10 minutes) and
gloo (30 minutes), above what a start, a compilation or a checkpoint on a slow disk take in silence."""
LOOKS = 10
"""How often, within that time, it is seen whether the job works."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `commcheck run`."""
    parser.add_argument(
        "--stall",
        type=float,
        default=STALL,
        metavar="S",
        help=f"seconds without output and work after which the running job is looked at (default: {STALL:g}; 0: never)",
    )
    parser.add_argument(
        "--report", metavar="FILE", help="write the last diagnosis as JSON; of a job that went well too"
    )
    parser.add_argument("--quiet", action="store_true", help="no diagnosis on standard error, only --report")
    parser.add_argument("--no-color", action="store_true", help="plain text (as with NO_COLOR=1, or in a pipe)")
    parser.add_argument("job", nargs=argparse.REMAINDER, metavar="-- CMD...", help="the command and its arguments")


def run(args: argparse.Namespace) -> int:
    """Run the job and return its exit code."""
    job: list[str] = args.job[1:] if args.job[:1] == ["--"] else args.job
    if not job:
        raise UsageError("no command is given: commcheck run -- CMD...")
    if not args.stall >= 0:
        raise UsageError(f"--stall {args.stall:g}: must be 0 or more seconds")
    _check_report(args.report)
    from commcheck.runtime.passing import Command

    begin = time.monotonic()
    oom = _oom_counts()
    try:
        command = Command(job)
    except OSError as error:
        sys.stderr.write(f"commcheck: {job[0]}: {error.strerror}\n")
        return NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
    watch = Watch(command, args, job)
    try:
        code = command.wait(max(0.2, args.stall / LOOKS) if args.stall else 3600.0, watch.tick)
    finally:
        command.close()
    watch.end()
    try:
        if code and command.ended_by is None:
            _say(_failed(command, code, job, time.monotonic() - begin, oom), args)
        elif args.report and not watch.told:
            _say(_went_well(job, time.monotonic() - begin, code), args, quiet=True)
    except Exception as error:  # the exit code is the job's, whatever becomes of our own part
        sys.stderr.write(f"commcheck: internal error: {type(error).__name__}: {error} (the exit code is the job's)\n")
    return code


class Watch:
    """Whether the job makes progress; looks at it where it does not. Costs one reading of /proc per tick."""

    def __init__(self, command: Command, args: argparse.Namespace, job: list[str]) -> None:
        self._command, self._args, self._job = command, args, job
        self._used: Used | None = None
        self._worked = time.monotonic()
        self._ticked = self._worked
        self._saying = threading.Lock()
        self._over = False
        self._looked_at = False
        self._named = False
        self.told = False

    def tick(self) -> None:
        """See whether the job has written or worked since the last time; if not for long enough, look at it."""
        if not self._args.stall or self._over:
            return
        try:
            self._see(time.monotonic())
        except Exception as error:  # the job must not end with us
            self._over = True
            sys.stderr.write(
                f"commcheck: internal error: {type(error).__name__}: {error} (the job is watched no more)\n"
            )

    def _see(self, now: float) -> None:
        if self._command.last_output > self._ticked:
            self._worked = now
            self._used = None
        else:
            used = _used(self._command.pid)
            if self._used is None or _worked(self._used, used, now - self._ticked):
                self._worked = now if self._used is not None else self._worked
            self._used = used
        self._ticked = now
        quiet = now - max(self._worked, self._command.last_output)
        if quiet < self._args.stall:
            if self._named and not self._args.quiet:
                sys.stderr.write("commcheck: the job goes on\n")
            self._looked_at = self._named = False
        elif not self._looked_at:
            self._looked_at = True
            threading.Thread(target=self._look, args=(quiet,), name="commcheck look", daemon=True).start()

    def end(self) -> None:
        """The job has ended: what a look that is still under way finds is not told any more."""
        with self._saying:
            self._over = True

    def _look(self, seconds: float) -> None:
        """A failure of ours must not touch the job: it is one line."""
        try:
            report = _standstill(self._command, self._job, seconds, watched=self._args.stall / _OF_THE_STALL)
            with self._saying:
                if self._over:
                    return
                if report is None:  # it gets on in a way that costs no processor time
                    self._worked = time.monotonic()
                    self._looked_at = False
                    return
                self.told = self._named = True
                if not self._args.quiet:
                    sys.stderr.write(
                        f"\ncommcheck: no output and no work for {seconds:.0f} s; the job is left running\n"
                    )
                _say(report, self._args)
        except Exception as error:
            sys.stderr.write(
                f"commcheck: the job stands still, and could not be looked at ({type(error).__name__}: {error})\n"
            )


_OF_THE_STALL = 6
"""The part of --stall for which a quiet job is looked at more closely, `LONGEST` at most: its steps may be slow."""
LONGEST = 30.0
"""Seconds of such a look at most."""


class Used(NamedTuple):
    """What processes have been given so far: CPU seconds of those that wait asleep, and CPU seconds and pages of those that
    may wait by asking again and again."""

    cpu: float
    spinning: float
    faults: int


def _used(pid: int) -> Used:
    """What a process and all below it have been given."""
    from commcheck.runtime.working import DEVICE
    from commcheck.system import procs
    from commcheck.system.process import state

    parents = {p: procs.parent(p) for p in procs.pids()}
    mine = {pid}
    grown = True
    while grown:
        more = {p for p, above in parents.items() if above in mine} - mine
        grown = bool(more)
        mine |= more
    found = [(s, procs.has_device(p, DEVICE)) for p in mine if (s := state(p)) is not None]
    return Used(
        cpu=sum(s.cpu for s, spins in found if not spins),
        spinning=sum(s.cpu for s, spins in found if spins),
        faults=sum(s.faults for s, spins in found if spins),
    )


def _worked(then: Used, now: Used, seconds: float) -> bool:
    """Whether processes did something. One that opens a device, or ends, takes what it used from one sum to the other."""
    from commcheck.runtime.working import works

    asleep = works(now.cpu - then.cpu, 0, seconds, spins=False)
    return asleep or works(now.spinning - then.spinning, now.faults - then.faults, seconds, spins=True)


def _standstill(command: Command, job: list[str], seconds: float, *, watched: float) -> Report | None:
    """What a running job that makes no progress shows from outside, with what it has printed; None where it gets on."""
    from msgspec.structs import replace

    from commcheck.diagnose.build import report
    from commcheck.diagnose.match import judge
    from commcheck.model.case import Ended
    from commcheck.runtime.live import find
    from commcheck.runtime.live.look import WATCH
    from commcheck.runtime.live.whole import seen_of

    begin = time.monotonic()
    case, notes = seen_of(find.given([command.pid]), seconds=min(LONGEST, max(WATCH, watched)))
    if case.ended is Ended.RUNNING:
        return None
    logged = _case(command)
    ranks = tuple(replace(r, output=_lines_of(logged.lines, r.rank, alone=r.slot == 0)) for r in case.ranks)
    case = replace(case, ranks=ranks)
    return report(
        case,
        judge(case),
        command=("commcheck", "run", "--", *job),
        seconds=seconds + time.monotonic() - begin,
        notes=notes,
    )


def _lines_of(lines: tuple[LogLine, ...], rank: int | None, *, alone: bool) -> tuple[LogLine, ...]:
    """A rank's own lines; those of nobody go to the first."""
    return tuple(
        line for line in lines if (line.rank is None and alone) or (line.rank is not None and line.rank == rank)
    )


def _case(command: Command, ending: str = "") -> Case:
    from commcheck.diagnose.logs import case_from_text

    sources = command.sources()
    if ending:
        sources.append(("exit status", ending.encode()))
    return case_from_text(sources)


def _failed(command: Command, code: int, job: list[str], seconds: float, oom: dict[str, int]) -> Report:
    """What the output of a job that failed shows, with how it ended."""
    from msgspec.structs import replace

    from commcheck.diagnose.build import report
    from commcheck.diagnose.match import judge
    from commcheck.model.case import Ended

    how = f"exit code {code}"
    if code > 128 and code - 128 in {s.value for s in signal.Signals}:
        name = signal.Signals(code - 128).name
        how = f"Signal {code - 128} ({name}) received by PID {command.pid}"
    if struck := _struck(oom):
        how = f"{how}\noom-kill: the kernel's out-of-memory killer struck {struck} time(s) in the job's control group"
    case = replace(_case(command, how), ended=Ended.FAILED)
    judgement = judge(case)
    notes = (f"the job ended after {seconds:.0f} s: {how.splitlines()[0]}",)
    return report(case, judgement, command=("commcheck", "run", "--", *job), seconds=seconds, notes=notes)


def _went_well(job: list[str], seconds: float, code: int) -> Report:
    """The report of a job that ended without a failure of its own."""
    from commcheck.diagnose.build import report
    from commcheck.diagnose.match import Judgement
    from commcheck.model.case import Case, Ended, Origin
    from commcheck.model.diagnosis import Verdict

    case = Case(origin=Origin.LOG, ended=Ended.FINISHED)
    verdict = Verdict.INCONCLUSIVE if code else Verdict.HEALTHY
    note = f"somebody ended it by a signal (exit code {code})" if code else "the job ended with exit code 0"
    judgement = Judgement(verdict=verdict, diagnoses=())
    return report(case, judgement, command=("commcheck", "run", "--", *job), seconds=seconds, notes=(note,))


def _oom_counts() -> dict[str, int]:
    from commcheck.system.process import oom_kills

    return oom_kills(os.getpid())


def _struck(before: dict[str, int]) -> int:
    from commcheck.system.process import read_oom_kills

    return max((now - count for file, count in before.items() if (now := read_oom_kills(file)) is not None), default=0)


def _check_report(path: str | None) -> None:
    """Raise UsageError if the report cannot be written, before the job is started."""
    if path is not None:
        from commcheck.cli.output import check_output

        try:
            check_output(argparse.Namespace(output=path))
        except UsageError as error:
            raise UsageError(str(error).replace("--output", "--report", 1)) from error


def _say(report: Report, args: argparse.Namespace, *, quiet: bool = False) -> None:
    """The diagnosis for a person on standard error, and as JSON where it was asked for."""
    from commcheck.cli.output import text_width, use_color
    from commcheck.report.redact import clean
    from commcheck.report.to_json import render as to_json
    from commcheck.report.to_text import render

    report = clean(report)
    if args.report is not None:
        try:
            with open(args.report, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(to_json(report))
        except OSError as error:
            sys.stderr.write(f"commcheck: --report {args.report}: {error.strerror or error}\n")
    if not (quiet or args.quiet):
        text = render(report, color=use_color(args, sys.stderr), width=text_width(sys.stderr))
        sys.stderr.write("\n" + text)
        sys.stderr.flush()
