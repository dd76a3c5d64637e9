"""The one who leads: it takes in what the hosts say of themselves, tells them what to do, and collects what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from commcheck.cluster.addresses import Chosen, chosen
from commcheck.cluster.agent import CARD
from commcheck.cluster.group_testing import PAIRS, Test
from commcheck.cluster.rounds import Pair, Round, rounds, waves
from commcheck.cluster.searching import Met, Search
from commcheck.cluster.speed import doubtless, far_out, losses, lossy, stands_out, stands_out_loaded
from commcheck.cluster.steps import Watch
from commcheck.cluster.values import (
    Answer,
    Card,
    Collected,
    Know,
    Leave,
    Measured,
    MeasurePairs,
    MeetAll,
    MeetGroups,
    Order,
    PortTry,
    Reached,
    Target,
    share_a_kernel,
)
from commcheck.model.base import Value
from commcheck.model.cluster import Reach
from commcheck.runtime.board import Board

CARD_DEADLINE = 30.0
"""Seconds for a host that is there to say what it is: the start of an interpreter, on a busy machine."""
MEET_DEADLINE, MEET_EACH = 20.0, 0.25
"""Seconds for a host to try all others, and for each of them: one that drops everything costs 1.3 of them, eight at a time;
name servers that do not answer 1.2 for each 32 names."""
PAIR_DEADLINE = 15.0
"""Seconds for a link besides its streams: every step in it has a deadline of its own, the last of them 3 s."""
QUIET_SECONDS = 20.0
"""Seconds that measuring the links with few others talking may take about: as many pairs at once as that needs."""
PAIR_SECONDS = 0.2
"""What a pair takes besides its streams, about."""
ALL_PAIRS_UP_TO = 128
"""Hosts up to which every pair tries and times its link: twenty seconds and more. Above that bad ones are isolated by group
testing, which times few links."""
LOADED_ROUNDS = 32
"""Rounds in which all pairs talk at once: so many samples of each host."""
LOADED_TIMES = 2.0
"""How much longer streams last while all talk, in both directions at once: none is to be alone for most of its time."""
AGAIN, AGAIN_LOADED = 6, 5
"""How often a link that stands out is measured again, alone, at most; rounds that are repeated with all talking."""
ENOUGH = 2
"""Times that are enough for a link that is far out of line."""
MOST_AGAIN = 24
"""Links that are measured again, alone, each time at most."""


class Options(Value, frozen=True):
    """`seconds`: of each stream; 0: no streams. `interface`: by which the hosts are to reach each other; "": the one that they
    share. `all_pairs_up_to`: so many hosts; more of them are searched by group testing."""

    seconds: float = 0.15
    interface: str = ""
    all_pairs_up_to: int = ALL_PAIRS_UP_TO


class Lead:
    """`hosts`: the names by which those that are expected are known, by rank; `there`: those of them that can speak."""

    def __init__(
        self, board: Board, hosts: Sequence[str], there: Collection[int], say: Callable[[str], None], options: Options
    ) -> None:
        self._board, self._say, self._options = board, say, options
        self._hosts, self._there = hosts, set(there)
        self._orders = self._round = 0
        self._gone: dict[int, str] = {}
        self._cards: dict[int, Card] = {}
        self._below = math.inf
        self._ports: dict[tuple[PortTry, ...], tuple[PortTry, ...]] = {}
        self._watch = Watch()

    def leave(self, code: int) -> None:
        """Tell all that it is over."""
        self._tell(Leave(code=code))

    def collected(self) -> Collected:
        """Everything, in order."""
        self._say(f"waiting for {len(self._there)} hosts to say what they are")
        self._cards = self._heard()
        self._below = doubtless(self._cards.values())
        addresses = chosen({r: c.facts for r, c in self._cards.items()}, self._options.interface)
        targets = self._targets(addresses)
        ranks = sorted(targets)
        isolated = None
        if len(ranks) > self._options.all_pairs_up_to:
            self._tell(Know(targets=tuple(targets.values())))
            search = Search(ranks, self._in_groups, partial(self._timed, len(ranks)), self._below)
            isolated = search.isolated()
            reached, quiet, timed = search.reached, tuple(search.quiet), search.timed[:PAIRS]
        else:
            reached = self._all_met(targets)
            usable = usable_links(reached)
            timed = [_among(one, ranks, usable) for one in rounds(len(ranks))]
            quiet = self._quiet(timed)
        again = self._alone(quiet)
        loaded: tuple[Measured, ...] = ()
        once_more: tuple[Measured, ...] = ()
        if self._options.seconds and len(ranks) > 3:
            lost = lossy(losses(quiet + again))
            sound = [tuple((a, b) for a, b in one if not {(a, b), (b, a)} & lost.keys()) for one in timed]
            loaded = self._loaded(sound[:: max(1, len(timed) // LOADED_ROUNDS)], "all at once")
            if stands_out_loaded(quiet + again, loaded):
                once_more = self._loaded(sound[:AGAIN_LOADED], "all at once, again")
        return Collected(
            names=self._names(),
            cards=self._cards,
            targets=targets,
            interfaces={rank: one.interface for rank, one in addresses.items()},
            reached=reached,
            quiet=quiet,
            again=again,
            loaded=loaded,
            loaded_again=once_more,
            gone=self._gone,
            silent=self._board.lost(set(range(len(self._hosts))) - self._cards.keys()),
            rounds=isolated.rounds if isolated else len(timed),
            isolated=isolated,
            notes=self._notes(),
            steps=self._watch.steps,
        )

    # -- parts

    def _heard(self) -> dict[int, Card]:
        heard: dict[int, Card] = {}

        def all_here() -> bool | None:
            for rank, data in self._board.others(CARD, self._there - heard.keys()).items():
                heard[rank] = msgspec.json.decode(data, type=Card)
                note(rank)
            lost = self._board.lost(self._there - heard.keys())
            return True if len(heard) + len(lost) == len(self._there) else None

        with self._watch.step(self._there) as note:
            self._board.wait(all_here, CARD_DEADLINE)
        return dict(sorted(heard.items()))

    def _names(self) -> tuple[str, ...]:
        """Those that the hosts give themselves, told apart by a number where two share one."""
        found: list[str] = []
        for rank, name in enumerate(self._hosts):
            own = self._cards[rank].name if rank in self._cards else name
            found.append(own if own not in found else f"{own}({rank})")
        return tuple(found)

    def _targets(self, addresses: dict[int, Chosen]) -> dict[int, Target]:
        return {
            rank: Target(rank=rank, name=card.name, address=addresses[rank].address, ports=card.ports, mark=card.mark)
            for rank, card in self._cards.items()
            if rank in addresses
        }

    def _all_met(self, targets: dict[int, Target]) -> dict[int, tuple[Reached, ...]]:
        self._say(f"{len(targets)} hosts try each other")
        self._watch.now("reach")
        order = MeetAll(targets=tuple(targets.values()))
        answers = self._asked(order, tuple(targets), MEET_DEADLINE + MEET_EACH * len(targets))
        return {rank: a.reached for rank, a in answers.items()}

    def _in_groups(self, tests: Sequence[Test]) -> dict[int, tuple[Reached, ...]]:
        """A round of group testing."""
        self._round += 1
        size = max(len(group) for test in tests for group in test)
        what = f"{len(tests)} pairs" if size == 1 else f"{len(tests)} tests of groups of up to {size} hosts"
        self._say(f"round {self._round}: {what}")
        self._watch.now("reach", self._round)
        ranks = {rank for test in tests for group in test for rank in group}
        answers = self._asked(MeetGroups(tests=tuple(tests)), ranks, MEET_DEADLINE + MEET_EACH * size)
        return {rank: a.reached for rank, a in answers.items()}

    def _timed(self, hosts: int, pairs: Sequence[Pair], met: Met) -> tuple[Round, tuple[Measured, ...]]:
        """Those of a round's pairs over which large pieces have just come."""
        usable = usable_links(met)
        one = tuple(usable[p] for p in (tuple(sorted(pair)) for pair in pairs) if p in usable)
        at_once = self._at_once(PAIRS * hosts // 2)
        self._watch.now("quiet", self._round)
        found: list[Measured] = []
        for number, wave in enumerate(waves(one, at_once)):
            self._say(f"round {self._round}: links are timed, {number * at_once} of {len(one)} done")
            found += self._measured(wave, self._options.seconds, small=True)
        return one, tuple(found)

    def _at_once(self, pairs: int) -> int:
        each = PAIR_SECONDS + 2 * self._options.seconds
        return max(1, -int(-pairs * each // QUIET_SECONDS))

    def _quiet(self, timed: Sequence[Round]) -> tuple[Measured, ...]:
        at_once = self._at_once(sum(map(len, timed)))
        found: list[Measured] = []
        for number, one in enumerate(timed):
            self._watch.now("quiet", number + 1)
            for wave in waves(one, at_once):
                self._say(f"round {number + 1} of {len(timed)}: links one by one, {min(at_once, len(one))} at a time")
                found += self._measured(wave, self._options.seconds, small=True)
        return tuple(found)

    def _alone(self, quiet: tuple[Measured, ...]) -> tuple[Measured, ...]:
        """What stands out, until it does so no more: the best of all counts. What is far out of line is not asked as often."""
        found: list[Measured] = []
        self._watch.now("again")
        for number in range(AGAIN):
            known = (*quiet, *found)
            far = far_out(known) if number >= ENOUGH else frozenset()
            for a, b in [p for p in stands_out(known, self._below) if frozenset(p) not in far][:MOST_AGAIN]:
                self._say(f"once more, alone: {self._name(a)} and {self._name(b)}")
                found += self._measured(((a, b),), self._options.seconds, small=True)
        return tuple(found)

    def _loaded(self, timed: Sequence[Round], how: str) -> tuple[Measured, ...]:
        found: list[Measured] = []
        for number, one in enumerate(timed):
            self._say(f"round {number + 1} of {len(timed)}: {how}")
            self._watch.now("loaded again" if how.endswith("again") else "loaded", number + 1)
            found += self._measured(one, LOADED_TIMES * self._options.seconds, small=False)
        return tuple(found)

    def _measured(self, pairs: Round, seconds: float, *, small: bool) -> tuple[Measured, ...]:
        left = tuple(p for p in pairs if not set(p) & self._gone.keys())
        if not left:
            return ()
        order = MeasurePairs(pairs=left, seconds=seconds, small=small, both=not small)
        answers = self._asked(order, {a for a, _ in left}, PAIR_DEADLINE + 2 * seconds)
        return tuple(m for answer in answers.values() for m in answer.measured)

    # -- talking

    def _tell(self, order: Order) -> int:
        self._orders += 1
        self._board.publish(f"order-{self._orders}", msgspec.json.encode(order))
        return self._orders

    def _asked(self, order: Order, ranks: Collection[int], seconds: float) -> dict[int, Answer]:
        """The answers of these; who gives none in time is gone for the rest."""
        number = self._tell(order)
        wanted = set(ranks) - self._gone.keys()
        there: dict[int, Answer] = {}

        def all_there() -> bool | None:
            for rank, data in self._board.others(f"answer-{number}", wanted - there.keys()).items():
                there[rank] = self._lean(msgspec.json.decode(data, type=Answer))
                note(rank)
            lost = self._board.lost(wanted - there.keys())
            return True if len(there) + len(lost) == len(wanted) else None

        with self._watch.step(wanted, order.pairs if isinstance(order, MeasurePairs) else ()) as note:
            self._board.wait(all_there, seconds)
        lost = self._board.lost(wanted - there.keys())
        for rank in sorted(wanted - there.keys()):
            self._gone[rank] = lost.get(rank) or f"no answer within {seconds:.0f} s to what it was asked to do"
        return dict(sorted(there.items()))

    def _lean(self, answer: Answer) -> Answer:
        """Ports that all hosts have seen alike are kept once: a thousand hosts see them a million times."""
        met = tuple(replace(one, ports=self._ports.setdefault(one.ports, one.ports)) for one in answer.reached)
        return replace(answer, reached=met)

    def _name(self, rank: int) -> str:
        return self._cards[rank].name

    def _notes(self) -> tuple[str, ...]:
        if share_a_kernel(self._cards.values()):
            return ("hosts share a kernel and its processors: their figures tell of each other, not of a network",)
        return ()


def usable_links(reached: Met) -> dict[Pair, Pair]:
    """By pair (the smaller rank first), who can connect to whom, of the links over which large pieces arrive."""
    good = {(a, r.rank) for a, found in reached.items() for r in found if r.large is Reach.OK}
    known = {(a, r.rank): r for a, found in reached.items() for r in found}
    made: dict[Pair, Pair] = {}
    for a, b in sorted(good):
        other = known.get((b, a))
        if other is not None and other.large in {Reach.SMALL_ONLY, Reach.DROPPED}:
            continue
        low, high = min(a, b), max(a, b)
        # Both ways are good: who measures takes turns, so that no host does all the work.
        if (low, high) not in made or (low + high) % 2:
            made[low, high] = (a, b)
    return made


def _among(one: Round, ranks: Sequence[int], usable: dict[Pair, Pair]) -> Round:
    """A round of places as one of ranks, of the pairs that can be measured."""
    pairs = [(ranks[a], ranks[b]) for a, b in one]
    return tuple(usable[p] for p in pairs if p in usable)
