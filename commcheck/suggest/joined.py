"""Trials whose ranks somebody's launcher has started, one process each, on hosts of their own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from commcheck import api
from commcheck.diagnose.match import decided
from commcheck.errors import InputError, UsageError
from commcheck.model.case import Case, Ended
from commcheck.model.plan import Place, Plan, RankPlan
from commcheck.model.rankreport import RankReport
from commcheck.probe.agent import Answer, Request, look
from commcheck.runtime.agents import FACTS_DEADLINE
from commcheck.runtime.launcher import IMPORT_DEADLINE, Launcher
from commcheck.runtime.reports import Writer, merged, read
from commcheck.runtime.watch import Terms
from commcheck.suggest.choices import world_plan
from commcheck.suggest.meeting import POLL, Job, Look, Meeting, RunRank, Work
from commcheck.suggest.model import Candidate, Cluster, Order
from commcheck.suggest.trials import TRIAL_DEADLINE

TOGETHER = 10.0
"""Seconds after which a rank of a trial is missing. All processes wait with torch imported for the trial to begin."""
LOOKS = IMPORT_DEADLINE + FACTS_DEADLINE
"""Seconds for a look: a process first imports torch, so that no trial waits for that."""
LAST_REPORTS = TRIAL_DEADLINE + 10.0
"""Seconds after which a rank that has left no last word is judged by what it left before."""


class Part:
    """What one process does of each job."""

    def __init__(self, meeting: Meeting, launcher: Launcher) -> None:
        self._meeting = meeting
        self._launcher = launcher

    def do(self, number: int, job: Job) -> None:
        """Look, or be a rank."""
        if isinstance(job, Look):
            self._meeting.answer(number, look(job.request))
        elif isinstance(job, RunRank):
            self._run(self._meeting.trial(number), job)

    def _run(self, folder: Path, job: RunRank) -> None:
        base = self._launcher.environment
        rank = RankPlan(
            slot=0,
            environment=base | job.environment,
            place=Place(host=job.facts.host),
            backend=job.backend,
            store_seconds=job.store_seconds,
            nccl_address=job.nccl_address,
        )
        plan = Plan(size=job.size, backend=job.backend, ranks=(rank,), base_environment=base)
        writer = Writer(str(folder), rank.environment["RANK"])

        def decides(case: Case) -> bool:
            own = writer.report(case, done=False)
            writer.write(case, done=False)
            return decided(_with_others(case, own, folder, writer.path))

        terms = Terms(deadline=TRIAL_DEADLINE, join_deadline=TOGETHER)
        case = api.observe(plan, self._launcher, (job.facts,), terms, _silent, decides)
        writer.write(case, done=True)


def _with_others(case: Case, own: RankReport, folder: Path, path: Path) -> Case:
    """What this rank knows, and what the others have left so far."""
    others = [r for r in _reports(folder, path) if r.done or case.ended is not Ended.FINISHED]
    if not others:
        return case
    whole = merged((own, *others), complete=case.complete)
    ended = whole.ended if case.ended is Ended.FINISHED else case.ended
    return replace(whole, ended=ended, seconds=case.seconds)


def _reports(folder: Path, without: Path | None = None) -> list[RankReport]:
    found = []
    for path in sorted(folder.glob("rank-*.json")):
        if path != without:
            try:
                found.append(read(path))
            except InputError:
                continue  # it is not there as a whole yet, as some network file systems show it
    return found


class Joint:
    """Rank 0's side: the hosts, looks at them, and worlds between them. Raises UsageError for hosts with different numbers
    of ranks: no order of them could be turned round."""

    def __init__(self, meeting: Meeting, launcher: Launcher) -> None:
        self._meeting = meeting
        self._part = Part(meeting, launcher)
        self._by_host = _by_host(meeting)
        counts = {len(ids) for ids in self._by_host.values()}
        if len(counts) > 1:
            raise UsageError(f"the hosts have {min(counts)} to {max(counts)} ranks: start the same number on each")
        self.places = tuple(Place(host=name) for name in self._by_host)

    def ask(self, requests: Mapping[Place, Request]) -> dict[Place, Answer]:
        """Look at hosts: one process of each does it."""
        asked = {self._by_host[p.host][0]: replace(r, place=p) for p, r in requests.items()}
        number = self._do({member: Look(request=r) for member, r in asked.items()})
        answers = self._meeting.answers(number, asked.keys(), LOOKS)
        return {p: answers[self._by_host[p.host][0]] for p in requests}

    def run(self, cluster: Cluster, candidate: Candidate, order: Order, extra: Mapping[str, str]) -> Case:
        """One world."""
        free = {host: list(ids) for host, ids in self._by_host.items()}
        facts = {h.host: h for h in cluster.hosts}
        work: Work = {}
        for rank in world_plan(cluster, candidate, order, dict(extra)).ranks:
            told = {k: v for k, v in rank.environment.items() if cluster.base.get(k) != v}
            host = rank.place.host
            work[free[host].pop(0)] = RunRank(
                environment=told,
                facts=facts[host],
                size=cluster.size,
                backend=cluster.backend,
                store_seconds=rank.store_seconds,
                nccl_address=rank.nccl_address,
            )
        number = self._do(work)
        return self._collected(self._meeting.trial(number), cluster)

    def _do(self, work: Work) -> int:
        """Say it to all, and do this process's own part."""
        number = self._meeting.post(work)
        own = work.get(self._meeting.me.id)
        if own is not None:
            self._part.do(number, own)
        return number

    def _collected(self, folder: Path, cluster: Cluster) -> Case:
        end = time.monotonic() + LAST_REPORTS
        while True:
            reports = _reports(folder)
            if (len(reports) == cluster.size and all(r.done for r in reports)) or time.monotonic() > end:
                return merged(tuple(reports), complete=True)
            time.sleep(POLL)


def _by_host(meeting: Meeting) -> dict[str, tuple[str, ...]]:
    """The processes of each host, in the order of their ranks; hosts that bear one name are told apart by a number."""
    found: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for member in meeting.members:
        if member.network not in names:
            same = [n for n in names.values() if n.partition("#")[0] == member.hostname]
            names[member.network] = f"{member.hostname}#{len(same) + 1}" if same else member.hostname
        found.setdefault(names[member.network], []).append(member.id)
    return {name: tuple(ids) for name, ids in found.items()}


def _silent(_: object) -> None:
    """Progress of a single world, which nobody wants to see."""
