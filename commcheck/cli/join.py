"""Join as the one rank that somebody's launcher made of this process.

Whoever is late is not missing: until the join deadline an absent rank is only waited for. What can be known before
is said before, on standard error; what decides (an own wrong setting, a dropped port, another rank's report in the
shared directory) ends the wait at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from commcheck import api
from commcheck.cli.options import assignment, command, fault, gpu_count
from commcheck.cli.output import emit, exit_code
from commcheck.cli.progress import Progress
from commcheck.diagnose import build
from commcheck.diagnose.match import DECIDED, judge
from commcheck.engines.base import RUN
from commcheck.engines.detecting import completed, run_named
from commcheck.errors import InputError, UsageError
from commcheck.model.case import Case, Ended, HostFacts
from commcheck.model.diagnosis import Diagnosis, Report, Role
from commcheck.model.plan import FaultAt, Place, Plan, RankPlan
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.reports import SAME_RUN, Writer, current, merged, read
from commcheck.runtime.speaker import Speaker, put
from commcheck.runtime.watch import WORLD_DEADLINE, Terms

JOIN_DEADLINE = 60.0
"""Seconds that a rank waits for the others. Tasks of one launch start within seconds of each other; what spreads them
is the import of torch from a cold network file system, tens of seconds on a large cluster, and a container that one
host still has to pull is minutes: for that, raise it. The frameworks' own wait is 30 minutes."""


NAME_VERDICT = 5.0
"""Seconds before the others' deadline at which a name that never came is called unknown."""
LAST_WORDS = 2.0
"""Seconds that a rank whose world came through waits for the other ranks' last reports: they end within milliseconds of
each other, or fail at the end of a probe's own time."""


def run(args: argparse.Namespace) -> int:
    """Run this rank; returns the exit code of what it knows at the end."""
    begin = time.monotonic()
    progress = Progress(quiet=args.quiet)
    plan = own_plan(args)
    rank = plan.ranks[0]
    number = rank.environment.get("RANK", "x")
    writer = None if args.report_dir is None else Writer(args.report_dir, number)
    speaker = None if args.report_to is None else Speaker(number, os.environ.get(RUN) or run_named(os.environ))
    joining = _Joining(writer, speaker, progress)
    deadline = args.join_deadline or JOIN_DEADLINE
    terms = Terms(deadline=args.deadline or max(WORLD_DEADLINE, 2 * deadline), join_deadline=deadline)
    with Launcher(dict(rank.environment)) as launcher:
        facts = api.host_facts(plan)
        plan = _with_nccl(plan, facts)
        joining.begin(plan, facts)
        with joining.ended_by_others():
            case = api.observe(plan, launcher, facts, terms, progress.say, joining.decides)
    joining.write(case, done=True)
    joining.let_others_finish(case)
    whole = joining.with_others(case)
    judgement = judge(whole)
    failed = tuple(sink.failed for sink in (writer, speaker) if sink is not None and sink.failed)
    report = build.report(
        replace(whole, not_read=(*whole.not_read, *failed)) if failed else whole,
        replace(judgement, diagnoses=tuple(map(_not_tried, judgement.diagnoses))),
        command=command(),
        seconds=time.monotonic() - begin,
        replay="" if writer is None else f"commcheck diagnose {args.report_dir}",
        notes=(*_completed(), *(() if writer else (_ONE_VIEW,))),
    )
    progress.done()
    if speaker is not None and args.output is None:
        _in_short(number, report)
    else:
        emit(report, args)
    return exit_code(report.verdict, args.format)


_ONE_VIEW = (
    "this is one rank's view: with --report-dir DIR on all ranks commcheck diagnose DIR merges them, with --report-to stdout "
    "commcheck diagnose does it with the launcher's output"
)


def _in_short(rank: str, report: Report) -> None:
    """One line in place of the report: standard output is all ranks', and holds the records of each."""
    from commcheck.report.text_world import headline

    text = " ".join(f"commcheck: rank {rank} on {socket.gethostname()}: {report.verdict}: {headline(report)}".split())
    with contextlib.suppress(BrokenPipeError):
        put((f"{text} (commcheck diagnose reads the records)\n".encode(errors="replace"),), sys.stdout.fileno())


def _completed() -> tuple[str, ...]:
    """What was set because the engine numbers its processes in variables of its own. The job has to do the same."""
    added, said = completed(os.environ)
    if said is None:
        return ()
    settings = " ".join(f"{name}={value}" for name, value in added.items())
    return (
        f"{said.engine} says which rank this is in {', '.join(said.read)}; set from that, as your job must: {settings}",
    )


class _Joining:
    """What this rank knows of the others, through the shared directory if there is one."""

    def __init__(self, writer: Writer | None, speaker: Speaker | None, progress: Progress) -> None:
        self._writer, self._speaker = writer, speaker
        self._progress = progress
        self._said = ""
        self._last: Case | None = None

    def begin(self, plan: Plan, facts: tuple[HostFacts, ...]) -> None:
        """Let the others see that this rank is there."""
        if self._writer is None and self._speaker is None:
            return
        from commcheck.runtime.collect import Seen, case
        from commcheck.runtime.world import RunningRank, RunningWorld

        world = RunningWorld(plan, None)
        world.add(RunningRank(plan.ranks[0], "cold", "joined"))
        first = case(world, Seen(), facts, ended=Ended.NOT_RUN)
        self.write(first, done=False)
        if self._speaker is not None:
            self._speaker.write(first, done=False)

    def write(self, case: Case, *, done: bool) -> None:
        """Leave what is known. What goes to all ranks' standard output is said once it is sure."""
        if self._writer is not None:
            self._writer.write(case, done=done)
        if self._speaker is not None and done:
            self._speaker.write(case, done=True)
        self._last = case

    @contextlib.contextmanager
    def ended_by_others(self) -> Iterator[None]:
        """On Ctrl-C, and on the SIGTERM with which launchers end their ranks: leave what is known, as a last word."""

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGTERM, interrupt)
        try:
            yield
        except KeyboardInterrupt:
            if self._last is not None:
                ended = Ended.INTERRUPTED if self._last.ended is Ended.NOT_RUN else self._last.ended
                self.write(replace(self._last, ended=ended), done=True)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def let_others_finish(self, case: Case) -> None:
        """After a good end, wait a moment for the others' last words: a fault that this rank got past by luck is
        theirs to tell."""
        if self._writer is None or case.ended is not Ended.FINISHED or case.world is None:
            return
        deadline = time.monotonic() + LAST_WORDS
        while len(self.with_others(case).ranks) < case.world.size and time.monotonic() < deadline:
            time.sleep(0.05)  # files on a shared file system announce nothing

    def decides(self, case: Case) -> bool:
        """Whether what is known now decides; says on the way what it looks like."""
        self.write(case, done=False)
        judgement = judge(self.with_others(case))
        lead = next((d for d in judgement.diagnoses if d.role is Role.ROOT and d.cause != "unclassified"), None)
        if lead is not None and lead.title != self._said:
            self._said = lead.title
            if self._speaker is not None:
                self._speaker.write(case, done=False)
            self._progress.say(f"so far: {lead.title} [{lead.cause}, {lead.confidence:.2f}]")
        return lead is not None and lead.confidence >= DECIDED

    def with_others(self, case: Case) -> Case:
        """This rank's case, and what the other ranks have left in the directory in this run."""
        if self._writer is None:
            return case
        own = self._writer.report(case, done=False)
        others, unread = [], []
        for path in sorted(self._writer.directory.glob("rank-*.json")):
            if path == self._writer.path:
                continue
            try:
                other = read(path)
            except InputError as e:  # another program's file, or another version's: this rank's own view still counts
                unread.append(str(e))
                continue
            # A rank that came through needs nothing from those that are about to: their last word is not written yet.
            if abs(other.begun - self._writer.begun) <= SAME_RUN and (other.done or case.ended is not Ended.FINISHED):
                others.append(other)
        if unread:
            case = replace(case, not_read=(*case.not_read, *unread))
        there = current((own, *others))
        if len(there) < 2:
            return case
        whole = merged(there, complete=case.complete)
        # How the others' watches stand is theirs; whether this one goes on is decided by its own.
        return replace(
            whole,
            ended=case.ended if case.ended is not Ended.FINISHED else whole.ended,
            seconds=case.seconds,
            not_read=tuple(dict.fromkeys((*whole.not_read, *unread))),
        )


def own_plan(args: argparse.Namespace) -> Plan:
    """The plan of this one process. Raises UsageError for options that only a world of our own can have."""
    for name in ("world_size", "rank_env", "netns"):
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option}: RANK or WORLD_SIZE is set, so this process joins as one rank; give --local to start a world"
            )
    environment = dict(os.environ) | completed(os.environ)[0]
    environment |= dict(assignment("--env", text) for text in args.env)
    if args.master_addr:
        environment["MASTER_ADDR"] = args.master_addr
    if args.master_port:
        environment["MASTER_PORT"] = str(args.master_port)
    size = environment.get("WORLD_SIZE", "")
    number = int(size) if size.isdigit() and int(size) > 0 else 1
    backend = args.backend if args.backend != "auto" else ("nccl" if gpu_count(os.environ) else "gloo")
    rank = RankPlan(
        slot=0,
        environment=environment,
        place=Place(host=socket.gethostname()),
        backend=backend,
        store_seconds=args.timeout,
        faults=_own_faults(args, environment.get("RANK", "")),
        name_patience=_name_patience(args, environment),
    )
    return Plan(size=number, backend=backend, ranks=(rank,), base_environment=environment)


def _name_patience(args: argparse.Namespace, environment: Mapping[str, str]) -> float:
    """A pod has a name when it has an address, and not before; and that it has none is remembered by name servers for a while.
    Elsewhere a name that is not known now is not known later."""
    if "KUBERNETES_SERVICE_HOST" not in environment:
        return 0.0
    return max(0.0, (args.join_deadline or JOIN_DEADLINE) - NAME_VERDICT)


def _with_nccl(plan: Plan, facts: tuple[HostFacts, ...]) -> Plan:
    """The rank is told the address that NCCL would take on this host: once they have met, the ranks try each other's."""
    answer = facts[0].nccl.answer if facts[0].nccl is not None else None
    if answer is None or not answer.works:
        return plan
    return replace(plan, ranks=tuple(replace(r, nccl_address=answer.address) for r in plan.ranks))


def _own_faults(args: argparse.Namespace, rank: str) -> tuple[FaultAt, ...]:
    """The faults that are meant for this rank; the same command line is given to all."""
    found = []
    for text in args.inject:
        of, colon, rest = text.partition(":")
        if not colon or not of.isdigit():
            raise UsageError(f"--inject {text}: write RANK:FAULT[@PHASE][=ARGUMENT]")
        if of == rank:
            found.append(fault(rest))
    return tuple(found)


def _not_tried(diagnosis: Diagnosis) -> Diagnosis:
    why = "commcheck joined as one rank and cannot start the others again"
    return replace(
        diagnosis,
        fixes=tuple(
            f if f.not_tried else replace(f, not_tried="it changes the machine" if f.commands else why)
            for f in diagnosis.fixes
        ),
    )
