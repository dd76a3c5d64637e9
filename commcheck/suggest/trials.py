"""Worlds for the search, watched and judged, until it is answered or the budget is used up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from commcheck import api
from commcheck.diagnose.match import judge
from commcheck.model.base import Value
from commcheck.model.case import Case
from commcheck.model.diagnosis import Diagnosis, Fix, Role, Verdict
from commcheck.model.phase import PHASES, Phase, PhaseStatus
from commcheck.predict.model import Prediction, predict
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms
from commcheck.suggest.choices import knobs, world_plan
from commcheck.suggest.model import TIMEOUT, Candidate, Cluster, Found, Leftover, Order, Setting, Trial
from commcheck.suggest.search import search

TRIAL_DEADLINE = 20.0
"""Seconds after which a world of a trial is given up. A healthy one takes a tenth of a second, and a second for each
question that a name server is slow to answer."""
OFFERED = frozenset({"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RES_OPTIONS", "GLOO_SOCKET_IFNAME"})
"""Variables that are taken over from a fix as they are. Others of a launcher's (RANK, WORLD_SIZE) are no choice here, and
the address and port of rank 0 are chosen for every order of the hosts."""
ARGUMENTS = {"master-addr": "MASTER_ADDR", "master-port": "MASTER_PORT", "timeout": TIMEOUT}

Run = Callable[[Cluster, Candidate, Order, Mapping[str, str]], Case]
"""What starts a world and gives all evidence about it."""


class Budget(Value, frozen=True):
    """What a suggestion may cost: worlds, and seconds after which no other is begun."""

    worlds: int = 40
    seconds: float = 90.0


class Driver:
    """Tries candidates, and counts. `run`: how a world is started."""

    def __init__(self, cluster: Cluster, run: Run, budget: Budget, progress: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._run = run
        self._budget = budget
        self._progress = progress
        self._begin = time.monotonic()
        self.worlds = 0

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._begin

    @property
    def spent(self) -> bool:
        """No other world may be begun."""
        return self.worlds >= self._budget.worlds or self.seconds >= self._budget.seconds

    def search(self) -> Found:
        """The whole search."""
        worlds = search(self._cluster, knobs(self._cluster), self._predict)
        try:
            candidate, order = next(worlds)
            while True:
                candidate, order = worlds.send(None if self.spent else self.trial(candidate, order))
        except StopIteration as done:
            found: Found = done.value
            return found

    def trial(self, candidate: Candidate, order: Order, extra: Mapping[str, str] | None = None) -> Trial:
        """One world."""
        self.worlds += 1
        besides = f", and as here {', '.join(extra)}" if extra else ""
        self._progress(f"world {self.worlds}: {shown(candidate, order)}{besides}")
        begin = time.monotonic()
        case = self._run(self._cluster, candidate, order, extra or {})
        return outcome(case, self._cluster, order, time.monotonic() - begin)

    def meet(self, candidate: Candidate, nccl: dict[str, str]) -> Case | None:
        """A world whose ranks try the addresses that NCCL takes on each host, too; None where no other may be begun."""
        if self.spent:
            return None
        self.worlds += 1
        self._progress(f"world {self.worlds}: NCCL's addresses {', '.join(sorted(set(nccl.values())))}")
        return self._run(replace(self._cluster, nccl=nccl), candidate, self._cluster.names, {})

    def leftovers(self, found: Found, given: Mapping[str, str]) -> tuple[Leftover, ...]:
        """Of the variables that the shell has already: whether the world forms with them too."""
        settings = found.settings or ()
        strange = {k: v for k, v in given.items() if k not in {s.name for s in settings}}
        if found.settings is None or not strange:
            return ()
        if self.spent:
            return tuple(Leftover(name=k, value=v, harmless=None) for k, v in strange.items())
        if self.trial(settings, self._cluster.names, strange).formed:
            return tuple(Leftover(name=k, value=v, harmless=True) for k, v in strange.items())
        return tuple(Leftover(name=k, value=v, harmless=self._harmless(settings, k, v)) for k, v in strange.items())

    def _harmless(self, settings: Candidate, name: str, value: str) -> bool | None:
        return None if self.spent else self.trial(settings, self._cluster.names, {name: value}).formed

    def _predict(self, candidate: Candidate, order: Order) -> Prediction:
        return predict(world_plan(self._cluster, candidate, order), self._cluster.hosts)


def shown(candidate: Candidate, order: Order) -> str:
    """A try in one line."""
    texts = []
    for setting in candidate:
        values = sorted({setting.values.get(order[0], "")} if setting.of_main else {*setting.values.values()})
        texts.append(f"{setting.name}={'|'.join(values)}")
    settings = " ".join(texts) or "nothing set"
    return settings if len(order) == 1 else f"{settings}, rank 0 on {order[0]}"


def outcome(case: Case, cluster: Cluster, order: Order, seconds: float) -> Trial:
    """What the search needs to know about a world. Pure."""
    judgement = judge(case)
    roots = [d for d in judgement.diagnoses if d.role is Role.ROOT]
    fixes = [f for d in roots for f in d.fixes]
    touches = [n for f in fixes for n in _touched(f)]
    return Trial(
        verdict=judgement.verdict,
        seconds=round(seconds, 3),
        phase=None if judgement.verdict is Verdict.HEALTHY else stopped_in(case),
        diagnosis=roots[0] if roots and judgement.verdict is not Verdict.HEALTHY else None,
        touches=tuple(dict.fromkeys(touches)),
        offers=_offers(roots, cluster, order),
        values_checked=sum(len(r.checks) for r in case.ranks),
    )


def _touched(fix: Fix) -> tuple[str, ...]:
    per_rank = [name for settings in fix.rank_set.values() for name in settings]
    return (*fix.set, *per_rank, *(ARGUMENTS[a] for a in fix.args if a in ARGUMENTS))


def stopped_in(case: Case) -> Phase | None:
    """The first phase that not every rank came through."""
    seen = []
    for rank in case.ranks:
        last = rank.last_phase
        if last is None or last.status is not PhaseStatus.OK:
            seen.append(PHASES.index(last.phase) if last is not None else 0)
    return PHASES[min(seen)] if seen else None


def _offers(roots: list[Diagnosis], cluster: Cluster, order: Order) -> Candidate:
    """The settings of fixes that hold for any order of the hosts, with their values by host."""
    made: list[Setting] = []
    for diagnosis in roots:
        for fix in diagnosis.fixes:
            if not fix.changes_settings_only:
                continue
            by_name: dict[str, dict[str, str]] = {}
            for rank in range(cluster.size):
                host = cluster.host_of(rank, order)
                concerned = not fix.applies_to_ranks or rank in fix.applies_to_ranks
                told = (fix.set if concerned else {}) | fix.rank_set.get(str(rank), {})
                for name, value in told.items():
                    by_name.setdefault(name, {})[host] = value
            made += [
                Setting(name=name, values=values, why=f"{diagnosis.title}: {fix.text}")
                for name, values in by_name.items()
                if name in OFFERED
            ]
    return tuple(made)


def forked(launcher: Launcher) -> Run:
    """Worlds whose ranks are all started here, from a process that has imported torch."""

    def run(cluster: Cluster, candidate: Candidate, order: Order, extra: Mapping[str, str]) -> Case:
        plan = world_plan(cluster, candidate, order, dict(extra))
        return api.observe(plan, launcher, cluster.hosts, Terms(deadline=TRIAL_DEADLINE), _silent)

    return run


def _silent(_: object) -> None:
    """Progress of a single world, which nobody wants to see."""
