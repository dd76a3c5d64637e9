"""Which world to try next, and when the answer is proven. Pure: worlds are asked for, and what they did is told.

First nothing is set. What fails says in which phase, and what is diagnosed names settings in its fixes: these are tried
next, then those that bear on the phase, then the rest; a candidate that is predicted to fail is passed over, and only its
extensions are tried. Then the proof: each setting of what formed is taken away once, and the world has to fail."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from commcheck.diagnose.match import DECIDED
from commcheck.model.diagnosis import Verdict
from commcheck.model.phase import PHASES, Phase
from commcheck.predict.addresses import resolved
from commcheck.predict.model import Outlook, Prediction
from commcheck.suggest.choices import AFTER_STORE, Knob
from commcheck.suggest.model import Candidate, Cluster, Found, Order, Removal, Setting, Trial

LATER = 6
"""Worlds that are still tried after one has formed in the given order of hosts alone: another may form in both."""
SMALLER = 4
"""Worlds with fewer settings that are still tried after one has formed."""
DOUBTED = 3
"""Candidates that are tried against their prediction, when nothing else is left."""

FAR = 100
"""Behind every knob and choice."""
ABOUT_PORTS = "port-"
"""How the causes begin that are about the store's port."""
ADDR, PORT = "MASTER_ADDR", "MASTER_PORT"
INTERFACES = {"GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"}

Ask = tuple[Candidate, Order]
Worlds = Generator[Ask, Trial | None, Found]
Predict = Callable[[Candidate, Order], Prediction]
Key = frozenset[tuple[str, tuple[tuple[str, str], ...]]]


class _Turn(NamedTuple):
    """A candidate in the queue: what is named by a fix comes first, then what is small, then what bears on the phase."""

    level: int
    size: int
    indirect: int
    place: tuple[int, ...]
    number: int
    candidate: Candidate


class _Spent(Exception):  # noqa: N818 - no error: the search has no worlds left
    """The budget is used up."""


def search(cluster: Cluster, knobs: tuple[Knob, ...], predict: Predict) -> Worlds:
    """Yields the next world to try and is sent what it did, or None when the budget is used up."""
    return _Search(cluster, knobs, predict).run()


class _Search:
    def __init__(self, cluster: Cluster, knobs: tuple[Knob, ...], predict: Predict) -> None:
        self._cluster = cluster
        self._knobs = {k.name: k for k in knobs}
        self._predict = predict
        self._queue: list[_Turn] = []
        self._seen: set[Key] = set()
        self._doubted: list[Candidate] = []
        self._tried: dict[tuple[Key, Order], Trial] = {}
        self._failed: list[tuple[Candidate, Trial, Order]] = []
        self._formed: dict[Key, tuple[Candidate, int]] = {}
        self._nearest: tuple[tuple[int, bool, int], Candidate, Trial] | None = None

    def run(self) -> Worlds:
        """The whole search."""
        best: tuple[Candidate, int] | None = None
        try:
            best = yield from self._first()
            spent = False
        except _Spent:
            best, spent = self._best(), True
        if best is None:
            return Found(
                settings=None,
                failed=self._nearest[2] if self._nearest else None,
                failed_with=self._nearest[1] if self._nearest else (),
                not_proven="the budget was used up" if spent else "",
            )
        return (yield from self._proven(*best))

    # -- finding one that forms

    def _first(self) -> Generator[Ask, Trial | None, tuple[Candidate, int] | None]:
        """The first candidate that forms in all orders, with their number; else one that forms in the given one."""
        self._push((), 0, 0, ())
        lucky: Candidate | None = None
        left = LATER
        while self._queue and left:
            candidate = heapq.heappop(self._queue).candidate
            if self._known_to_fail(candidate):
                continue
            foreseen = self._foreseen(candidate) if candidate else None
            if foreseen is not None:
                self._doubted.append(candidate)
                self._extend(candidate, None, foreseen.cause)
                continue
            left -= lucky is not None
            failed, formed = yield from self._trials(candidate)
            if failed is None:
                return candidate, formed
            if formed:
                lucky = lucky or candidate
            self._extend(candidate, failed, failed.cause)
        if lucky is not None:
            return lucky, 1
        for candidate in sorted(self._doubted, key=len)[:DOUBTED]:
            failed, formed = yield from self._trials(candidate)
            if formed:
                return candidate, formed
        return None

    def _best(self) -> tuple[Candidate, int] | None:
        """What formed before the budget was used up."""
        return max(self._formed.values(), key=lambda made: made[1], default=None)

    def _foreseen(self, candidate: Candidate) -> Prediction | None:
        """The prediction, where it is a failure."""
        made = self._predict(candidate, self._cluster.names)
        return made if made.outlook is Outlook.FAILS else None

    def _known_to_fail(self, candidate: Candidate) -> bool:
        """What has failed already differs from it only in what cannot have mattered."""
        return any(same_failure(self._cluster, done, trial, candidate, order) for done, trial, order in self._failed)

    def _trials(self, candidate: Candidate) -> Generator[Ask, Trial | None, tuple[Trial | None, int]]:
        """Try a candidate in one order after the other, until it fails: that trial, and how many it came through."""
        for number, order in enumerate(self._cluster.orders):
            trial = yield from self._trial(candidate, order)
            if not trial.formed:
                return trial, number
            self._formed[_key(candidate)] = candidate, number + 1
        return None, len(self._cluster.orders)

    def _trial(self, candidate: Candidate, order: Order) -> Generator[Ask, Trial | None, Trial]:
        key = (_key(candidate), order)
        if key not in self._tried:
            trial = yield from self._asked(candidate, order)
            if unsure(trial):
                trial = yield from self._asked(candidate, order)
            self._tried[key] = trial
            reached = PHASES.index(trial.phase) if trial.phase is not None else -1
            # Ranks on several hosts that were told nothing fail for that alone.
            rank = (reached, bool(candidate) or len(order) == 1, -len(candidate))
            if not trial.formed:
                self._failed.append((candidate, trial, order))
            if not trial.formed and (self._nearest is None or rank > self._nearest[0]):
                self._nearest = rank, candidate, trial
        return self._tried[key]

    def _asked(self, candidate: Candidate, order: Order) -> Generator[Ask, Trial | None, Trial]:
        trial = yield candidate, order
        if trial is None:
            raise _Spent
        return trial

    # -- what to try next

    def _extend(self, candidate: Candidate, failed: Trial | None, cause: str) -> None:
        """Queue what has one setting more, and the next choice of one that did not help."""
        touched = {*(failed.touches if failed is not None else ()), *([PORT] if cause.startswith(ABOUT_PORTS) else ())}
        has = {s.name for s in candidate}
        for level, number, setting, at in self._more(has, failed, touched):
            self._push((*candidate, setting), level, number, (at,))
        for setting in candidate:
            knob = self._knobs.get(setting.name)
            if knob is None or not knob.asked or knob.name not in touched or setting not in knob.choices:
                continue
            at = knob.choices.index(setting) + 1
            if at < len(knob.choices):
                others = tuple(s for s in candidate if s.name != setting.name)
                self._push((*others, knob.choices[at]), 0, 0, (at,))

    def _more(self, has: set[str], failed: Trial | None, touched: set[str]) -> Iterator[tuple[int, int, Setting, int]]:
        """Level, place of the knob, setting, place of the choice."""
        for number, knob in enumerate(self._knobs.values()):
            named = knob.name in touched
            bears = failed is not None and failed.phase in knob.bears_on
            if knob.name in has or (knob.asked and not named and not bears):
                continue
            for at, setting in enumerate(knob.choices[:1] if knob.asked else knob.choices):
                yield 0 if named else 1, (0 if named or bears else 1) * FAR + number, setting, at
        for setting in failed.offers if failed is not None else ():
            if setting.name not in has:
                yield 0, FAR, setting, FAR

    def _push(self, candidate: Candidate, level: int, indirect: int, place: tuple[int, ...]) -> None:
        ordered = tuple(sorted(candidate, key=lambda s: s.name))
        key = _key(ordered)
        if key not in self._seen:
            self._seen.add(key)
            heapq.heappush(self._queue, _Turn(level, len(ordered), indirect, place, len(self._seen), ordered))

    # -- the proof

    def _proven(self, candidate: Candidate, orders: int) -> Worlds:
        """Take away what is not needed, and show of each setting that is left that the world fails without it."""
        removals: tuple[Removal, ...] = ()
        not_proven = ""
        try:
            candidate, removals = yield from self._reduced(candidate, orders)
            smaller = yield from self._with_fewer(candidate, orders)
            if smaller is not None:
                candidate, removals = yield from self._reduced(smaller, orders)
        except _Spent:
            not_proven = "the budget was used up before every setting had been taken away once"
        unjudged = [r.setting for r in removals if not r.judged]
        if unjudged and not not_proven:
            not_proven = f"the world without {', '.join(unjudged)} could not be judged"
        return Found(
            settings=candidate,
            trial=self._tried[_key(candidate), self._cluster.names],
            removals=removals,
            fixed_order="" if orders == len(self._cluster.orders) else self._other_order(candidate),
            not_proven=not_proven,
        )

    def _reduced(
        self, candidate: Candidate, orders: int
    ) -> Generator[Ask, Trial | None, tuple[Candidate, tuple[Removal, ...]]]:
        while True:
            removals: list[Removal] = []
            for setting in candidate:
                without = tuple(s for s in candidate if s is not setting)
                failed, formed = yield from self._without(without, orders)
                if failed is None:
                    candidate = without
                    break
                removals.append(_removal(setting, failed, self._cluster.orders[formed], luck=formed > 0))
            else:
                return candidate, tuple(removals)

    def _without(self, candidate: Candidate, orders: int) -> Generator[Ask, Trial | None, tuple[Trial | None, int]]:
        for number, order in enumerate(self._cluster.orders[:orders]):
            trial = yield from self._trial(candidate, order)
            if not trial.formed:
                return trial, number
        return None, orders

    def _with_fewer(self, candidate: Candidate, orders: int) -> Generator[Ask, Trial | None, Candidate | None]:
        """One with fewer settings that was passed over, should it form."""
        waiting = sorted((t for t in self._queue if len(t.candidate) < len(candidate)), key=lambda t: t.size)
        fewer = [t.candidate for t in waiting if not self._known_to_fail(t.candidate)]
        fewer = [c for c in fewer if self._foreseen(c) is None]
        for one in fewer[:SMALLER]:
            failed, _ = yield from self._without(one, orders)
            if failed is None:
                return one
        return None

    def _other_order(self, candidate: Candidate) -> str:
        trial = self._tried.get((_key(candidate), self._cluster.orders[-1]))
        if trial is None:
            return "another order of the hosts was not tried"
        return trial.diagnosis.title if trial.diagnosis else "it did not form, for a reason that is not known"


def _removal(setting: Setting, failed: Trial, order: Order, *, luck: bool) -> Removal:
    found = failed.diagnosis
    return Removal(
        setting=setting.name,
        cause=found.cause if found else "",
        title=found.title if found else f"the verdict was {failed.verdict.value}",
        order=order,
        luck=luck,
        judged=failed.verdict is Verdict.UNHEALTHY,
    )


def unsure(trial: Trial) -> bool:
    """It failed, and nothing says surely why: that may have been chance, and is tried again."""
    return not trial.formed and (trial.diagnosis is None or trial.diagnosis.confidence < DECIDED)


def same_failure(cluster: Cluster, done: Candidate, trial: Trial, candidate: Candidate, order: Order) -> bool:
    """Whether a candidate has to fail as another one did: all ranks had met at the store, and only the way to the store
    differs; or they had not, and its address is the same by another name."""
    if trial.phase in AFTER_STORE:
        return _rest(done, {ADDR, PORT}) == _rest(candidate, {ADDR, PORT})
    if trial.phase is Phase.STORE and {s.name for s in done} == {s.name for s in candidate}:
        same = _rest(done, {ADDR, *INTERFACES}) == _rest(candidate, {ADDR, *INTERFACES})
        return (
            same
            and bool(_leads_to(cluster, done, order))
            and _leads_to(cluster, done, order) == _leads_to(cluster, candidate, order)
        )
    return False


def _rest(candidate: Candidate, without: set[str]) -> Key:
    return _key(tuple(s for s in candidate if s.name not in without))


def _leads_to(cluster: Cluster, candidate: Candidate, order: Order) -> tuple[tuple[str, ...] | None, ...]:
    """What MASTER_ADDR is on each of the hosts that have to find the first one; nothing where it is not set."""
    main = order[0]
    value = next((s.value(main, main) for s in candidate if s.name == ADDR), None)
    return () if value is None else tuple(resolved(h, value) for h in cluster.hosts if h.host != main)


def _key(candidate: Candidate) -> Key:
    return frozenset((s.name, tuple(sorted(s.values.items()))) for s in candidate)
