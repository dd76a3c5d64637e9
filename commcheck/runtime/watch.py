"""Watch a world until it ends, or until the evidence decides; before anything is ended, take the evidence.

The frameworks wait for minutes, because from inside a slow peer and a dead one look alike. From outside they do not:
a world in which no rank computes, no byte moves and no look-up is under way will not go on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from commcheck.errors import LaunchError
from commcheck.model import journal
from commcheck.model.base import Value
from commcheck.model.case import Case, Ended, HostFacts, Listener, Origin, Outcome, Socket
from commcheck.model.phase import Phase
from commcheck.model.plan import Place
from commcheck.probe.agent import Answer
from commcheck.runtime import evidence, ras
from commcheck.runtime.agents import Asking
from commcheck.runtime.collect import Seen, case, hosts_with_versions
from commcheck.runtime.targets import phase_of, requests
from commcheck.runtime.world import RunningWorld

QUIET = 0.5
"""Seconds without a word from any rank after which it is looked whether anything moves."""
SAMPLE = 0.2
"""Seconds between the two looks whose difference says whether anything moves."""
SETTLE = 0.3
"""Seconds that the other ranks get to show their side after the first failure."""
PROBES_IN = 0.1
"""Seconds after the last of the ranks' own probes of each other when they are judged, one of them having failed. While
some are under way the rules hold back (diagnose.linking.settled): what is found out about the other pairs tells one bad
host from a bad link."""
AFTER_FAILURE = 1.2
"""Seconds after the first failure when the watch ends: a world that has lost a rank does not come right again."""
GROWTH = 1.6
"""Factor by which the next look is put off when the evidence did not decide."""
QUIET_LIMIT = 2.0
"""Seconds between two looks at most: a rank that joins others also learns from what they leave in the directory."""
PHASE_PATIENCE: dict[Phase, float] = {
    Phase.RESOLVE: 15.0,
    Phase.STORE: 20.0,
    Phase.PROBE: 15.0,
    Phase.GROUP: 20.0,
    Phase.FIRST_COLLECTIVE: 20.0,
    Phase.VERIFY: 20.0,
    Phase.STEADY: 20.0,
    Phase.TEARDOWN: 10.0,
}
"""Seconds that a world may stand still in a phase, with no evidence that decides, before the watch gives up. They exceed
a resolver's two tries of 5 s (resolv.conf(5)) and several TCP retransmissions; a world that moves is not bounded by them."""
NCCL_PATIENCE = 60.0
"""The same where NCCL may be starting: it looks for its rings and trees on many GPUs without a word, and without a new page."""
_MAKES_COMMUNICATORS = frozenset({Phase.GROUP, Phase.FIRST_COLLECTIVE})
START_PATIENCE = 60.0
"""The same for ranks of which none has begun its first phase: fresh interpreters that import torch."""
WORLD_DEADLINE = 300.0
"""Seconds after which even a moving world is given up."""

UNPLACED = "commcheck: this rank could not be placed: "
"""What a rank prints that could not become what the plan says (commcheck/worker)."""

Judge = Callable[[Case], bool]
"""Whether the evidence decides what is wrong."""


class Terms(Value, frozen=True):
    """What bounds a watch. `join_deadline`: others start the other ranks, and until then (seconds) absent ones are
    only waited for; None: all ranks are ours, and there is nobody to wait for."""

    deadline: float = WORLD_DEADLINE
    join_deadline: float | None = None


class Watch:
    """One watch over one running world."""

    def __init__(
        self,
        world: RunningWorld,
        hosts: tuple[HostFacts, ...],
        judge: Judge,
        terms: Terms,
        progress: Callable[[str], None],
        heard: Callable[[RunningWorld], None],
    ) -> None:
        self._world = world
        self._hosts = hosts
        self._judge = judge
        self._terms = terms
        self._progress = progress
        self._heard = heard
        self._seen = Seen()
        self._said: set[Phase] = set()
        self._first_failure: float | None = None
        self._alarms = 0
        self._alarm_due: float | None = None
        self._probing = False

    def run(self) -> Case:
        """Watch, and end the world. Returns all evidence."""
        world = self._world
        quiet = QUIET
        self._heard(world)
        while not self._over():
            if world.seconds > self._terms.deadline:
                self._look()
                return self.stop(Ended.DEADLINE)
            failed, due = self._failed_at(), self._due()
            if due is not None and due <= time.monotonic():
                self._alarm_due = None
                ended = Ended.STALLED if failed is None else Ended.FAILED
                if self._decided(ended, probing=failed is not None):
                    return self.stop(ended)
                if failed is not None:
                    if time.monotonic() - failed >= AFTER_FAILURE:
                        return self.stop(Ended.FAILED)
                    world.pump(time.monotonic() + SETTLE)
                    continue
            until = min(world.last_event + quiet, world.begun + self._terms.deadline + 0.01)
            if world.pump(until if due is None else min(until, max(due, time.monotonic() + 0.01))):
                self._tell()
                quiet = QUIET
                continue
            if time.monotonic() - world.last_event < quiet:
                continue
            # Some causes are plain from what the ranks were told, whether or not anything still moves.
            if self._judge(self._case(Ended.NOT_RUN)):
                self._look()
                return self.stop(Ended.STALLED)
            stands = self._stands_still()
            if stands is None:
                world.last_event = time.monotonic() - quiet / 2  # what moves without a word is looked at again soon
                continue
            if stands or self._given_up():
                return self.stop(Ended.STALLED)
            quiet = min(quiet * GROWTH, QUIET_LIMIT)
        return self._finish()

    def _decided(self, ended: Ended, *, probing: bool) -> bool:
        """Look, and judge; only if that does not decide, probe from outside and judge again."""
        self._seen.probes.clear()
        self._look()
        if self._judge(self._case(ended)):
            return True
        if not probing:
            return False
        with self._asking() as asking:
            self._take(asking.answers())
        return self._judge(self._case(ended))

    def _stands_still(self) -> bool | None:
        """None: something moves. Else whether the evidence of the standstill decides.

        The probes from outside go on while it is looked whether anything moves: both take a second at most."""
        world = self._world
        # Read before the probes: a listener that appears while they are under way does not contradict their refusal.
        tables = evidence.socket_tables(world)
        before = evidence.activity(world, tables)
        self._seen.probes.clear()  # a refusal of seconds ago does not go with the sockets of now
        self._seen.sockets.update(tables)
        with self._asking() as asking:
            if world.pump(time.monotonic() + SAMPLE):
                self._tell()
                return None
            if evidence.moved(before, evidence.activity(world, evidence.socket_tables(world))):
                return None
            self._look(sockets=False)
            if self._judge(self._case(Ended.STALLED)):
                return True
            self._take(asking.answers())
        if world.pump(time.monotonic()):
            self._tell()  # it was late, and what was seen from outside meanwhile is of a moment that has gone
            return None
        return self._judge(self._case(Ended.STALLED))

    # -- reading the world

    def _over(self) -> bool:
        """All ranks that were started have ended."""
        return not self._world.alive

    def _failed_at(self) -> float | None:
        """When the first failure was seen, as a monotonic time."""
        if self._first_failure is None and any(r.failed for r in self._world.ranks):
            self._first_failure = time.monotonic()
        return self._first_failure

    def _due(self) -> float | None:
        """When the next judgement is due because a rank has failed, or one of its own probes has."""
        alarms, was_probing = sum(r.alarms for r in self._world.ranks), self._probing
        self._probing = self._pairs_outstanding()
        if alarms > self._alarms:
            self._alarms, self._alarm_due = alarms, time.monotonic() + SETTLE
        if alarms and was_probing and not self._probing:
            self._alarm_due = time.monotonic() + PROBES_IN
        failed = self._failed_at()
        due = [] if failed is None else [failed + SETTLE]
        if self._alarm_due is not None:
            due.append(self._alarm_due)
        return min(due, default=None)

    def _pairs_outstanding(self) -> bool:
        """A live rank has set out to probe one of which it has not said how that went, or is about to set out."""
        alive = self._world.alive
        if any(r.trying for r in alive):
            return True
        silent = [r for r in alive if r.tries is None]
        if not silent:
            return False  # as for most of a world's life: this is asked after every word of a rank
        told = (r.tries for r in self._world.ranks if r.tries is not None)
        everybody = {str(r) for r in frozenset[int]().union(*told)}
        return any(r.plan.environment.get("RANK", "") in everybody for r in silent)

    def _given_up(self) -> bool:
        """The standstill has lasted longer than anything harmless does, or than the others may be late."""
        if self._terms.join_deadline is not None:
            return self._world.seconds >= self._terms.join_deadline
        phases = [p for p in map(phase_of, self._world.alive) if p is not None]
        patience = max((PHASE_PATIENCE[p] for p in phases), default=START_PATIENCE)
        if "nccl" in self._world.plan.backend and _MAKES_COMMUNICATORS.intersection(phases):
            patience = max(patience, NCCL_PATIENCE)
            if evidence.crowded(self._world):
                return False  # who spins keeps the others from a processor: it may be slow, and not stand still
        return time.monotonic() - self._world.last_event > patience

    def _tell(self) -> None:
        """Something was heard: pass it on, and say once when the whole world has come through a phase."""
        self._heard(self._world)
        for phase in Phase:
            if phase in self._said:
                continue
            ended = [
                any(isinstance(e, journal.Finished) and e.phase is phase for e in r.events) for r in self._world.ranks
            ]
            if not ended or not all(ended):
                return
            self._said.add(phase)
            who = f"all {len(ended)} ranks" if len(ended) > 1 else "done"
            self._progress(f"{phase.value}: {who}, {self._world.seconds:.2f} s")

    # -- taking evidence

    def _look(self, *, sockets: bool = True) -> None:
        seen, world = self._seen, self._world
        seen.states.update(evidence.states(world))
        seen.carriers.update(evidence.carrier_changes(world))
        if sockets:
            seen.sockets.update(evidence.socket_tables(world))

    def _asking(self) -> Asking:
        """Start to try from outside what the waiting ranks try: the store's port, and each other's data ports."""
        return Asking(requests(self._world, self._seen.sockets))

    def _take(self, answers: dict[Place, Answer]) -> None:
        """Add what the probes from outside found.

        A refusal says nothing where the listener has gone meanwhile, as when rank 0 gives up."""
        held = _listening(self._seen.sockets)
        left = held - _listening(evidence.socket_tables(self._world)) if held else held
        for place, answer in answers.items():
            if answer.failed:
                note = f"probes from {place.host or 'this host'}: {answer.failed}"
                self._seen.not_read = list(dict.fromkeys((*self._seen.not_read, note)))
            for slot, probe in answer.probes:
                if probe.outcome is Outcome.REFUSED and probe.port in left:
                    continue
                self._seen.probes[slot] = (*self._seen.probes.get(slot, ()), probe)
            self._hosts = tuple(
                _with_listeners(h, answer.listeners) if h.host == place.host else h for h in self._hosts
            )

    # -- ending

    def _case(self, ended: Ended) -> Case:
        self._hosts = hosts_with_versions(self._world, self._hosts)
        terms = self._terms
        joined = terms.join_deadline is not None
        return case(
            self._world,
            self._seen,
            self._hosts,
            ended=ended,
            origin=Origin.JOINED if joined else Origin.WORLD,
            complete=terms.join_deadline is None or self._world.seconds >= terms.join_deadline,
        )

    def _finish(self) -> Case:
        self._world.drain()
        self._tell()
        if any(r.failed for r in self._world.ranks):
            # All may have failed before anything was looked at: who holds the port is still to be seen.
            self._decided(Ended.FAILED, probing=True)
            return self._case(Ended.FAILED)
        # What was seen while it waited is not true any more: it came to its end.
        self._seen = Seen()
        return self._case(Ended.FINISHED)

    def stop(self, ended: Ended) -> Case:
        """End what runs, then take the last words.

        Stacks are asked for here and not while it is judged: faulthandler walks the frames of threads that run, and on
        a busy machine a rank has crashed over it. What ends a rank from here on is our doing."""
        for rank in self._world.alive:
            rank.killed_by_us = True
        self._seen.stacks.update(evidence.stacks(self._world, evidence.states(self._world)))
        asks = ended is not Ended.FAILED and "nccl" in self._world.plan.backend
        if asks and not self._judge(self._case(ended)):  # its answer may wait for one that is silent, for seconds
            self._seen.ras, notes = ras.of_world(self._world, self._seen.sockets)
            self._seen.not_read = list(dict.fromkeys((*self._seen.not_read, *notes)))
        self._world.kill()
        return self._case(ended)


def _listening(tables: dict[int, tuple[Socket, ...]]) -> frozenset[int]:
    """The ports on which the ranks listen."""
    return frozenset(s.local_port for rows in tables.values() for s in rows if s.state == "LISTEN")


def _with_listeners(facts: HostFacts, listeners: tuple[Listener, ...]) -> HostFacts:
    return replace(facts, listeners=tuple(dict.fromkeys((*facts.listeners, *listeners))))


def refuse_unplaced(case: Case) -> None:
    """Raise LaunchError when a rank could not be placed as planned: nothing is known about the world then."""
    for rank in case.ranks:
        line = next((x.text for x in rank.output if x.text.startswith(UNPLACED)), "")
        if rank.exit is not None and not rank.phases and line:
            raise LaunchError(f"rank in slot {rank.slot}: {line.removeprefix(UNPLACED)}")
