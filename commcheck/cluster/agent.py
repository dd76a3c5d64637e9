"""A host's side: it says what it is, then does what the one who leads tells it, and says what came of it.

card            what the host is
order-N         from the one who leads: what is to be done next
answer-N        what came of it at this host
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec.structs import replace

from commcheck.catalog.env.select import relevant
from commcheck.cluster.group_testing import opposite
from commcheck.cluster.measuring import measure
from commcheck.cluster.nccl import with_nccl
from commcheck.cluster.reaching import meet, meet_these
from commcheck.cluster.responder import Responder
from commcheck.cluster.values import (
    DRIVER,
    Answer,
    Card,
    Know,
    Leave,
    Measured,
    MeasurePairs,
    MeetAll,
    MeetGroups,
    Order,
    Target,
)
from commcheck.errors import LaunchError
from commcheck.model.case import HostFacts
from commcheck.probe.facts import host_facts
from commcheck.runtime.board import Board

SILENCE_DEADLINE = 900.0
"""Seconds without an order after which the one who leads is taken for dead: no order takes longer, for 3,000 hosts
(lead.MEET_EACH)."""
CARD = "card"
PORT_RANGE = (32768, 60999)
"""Linux's own ip_local_port_range, where a host's cannot be read."""


class Agent:
    """One host's. `leader`: the rank from which orders come."""

    def __init__(self, board: Board, *, leader: int = 0, name: str = "") -> None:
        """Raises LaunchError where no port can be bound."""
        self._board, self._leader = board, leader
        facts = with_nccl(with_driver(host_facts(name or socket.gethostname()), _driver_text()), os.environ)
        try:
            responder = Responder(facts.port_range or PORT_RANGE, board.rank)
        except OSError as error:
            raise LaunchError(f"cannot listen on any port: {error}") from error
        self._targets: dict[int, Target] = {}
        card = Card(
            name=facts.host,
            facts=facts,
            mark=responder.mark,
            ports=responder.ports,
            cores=os.cpu_count() or 1,
            environment=relevant(os.environ),
        )
        board.publish(CARD, msgspec.json.encode(card))

    def serve(self) -> int:
        """Do what one is told until it is over; the exit code. Raises LaunchError when nobody leads any more."""
        number = 0
        while True:
            number += 1
            order = self._next(f"order-{number}")
            if isinstance(order, Leave):
                return order.code
            answer = self._done(order)
            if answer is not None:
                self._board.publish(f"answer-{number}", msgspec.json.encode(answer))

    def _next(self, topic: str) -> Order:
        said = self._board.wait(lambda: self._board.others(topic, (self._leader,)) or None, SILENCE_DEADLINE)
        if said is None:
            raise LaunchError(
                f"rank {self._leader}'s process has said nothing for {SILENCE_DEADLINE:g} s: it was ended"
            )
        order: Order = msgspec.json.decode(said[self._leader], type=Order)
        return order

    def _done(self, order: MeetAll | Know | MeetGroups | MeasurePairs) -> Answer | None:
        if isinstance(order, MeetAll):
            self._targets = {t.rank: t for t in order.targets}
            return _never_raising(lambda: Answer(reached=meet(order.targets, self._board.rank)))
        if isinstance(order, Know):
            self._targets = {t.rank: t for t in order.targets}
            return None
        if isinstance(order, MeetGroups):
            return self._met(order)
        own = [self._targets[b] for a, b in order.pairs if a == self._board.rank and b in self._targets]
        if not own:
            return None
        return _never_raising(lambda: Answer(measured=self._measured(own, order)))

    def _met(self, order: MeetGroups) -> Answer | None:
        own, others = opposite(order.tests, self._board.rank)
        if not others:
            return None
        targets = [self._targets[rank] for rank in others]
        return _never_raising(lambda: Answer(reached=meet_these(targets, moving=len(own) + len(others) > 2)))

    def _measured(self, own: list[Target], order: MeasurePairs) -> tuple[Measured, ...]:
        def one(target: Target) -> Measured:
            return measure(target, self._board.rank, seconds=order.seconds, small=order.small, both=order.both)

        if len(own) == 1:
            return (one(own[0]),)
        with ThreadPoolExecutor(len(own)) as pool:
            return tuple(pool.map(one, own))


_DRIVER = re.compile(r"Kernel Module\s+(?:for \S+\s+)?(\d[\d.]*)")


def with_driver(facts: HostFacts, text: str) -> HostFacts:
    """The facts with the version of NVIDIA's driver, as its file in /proc tells it. Pure."""
    found = _DRIVER.search(text)
    return replace(facts, versions=facts.versions | {DRIVER: found[1]}) if found else facts


def _driver_text() -> str:
    try:
        with open("/proc/driver/nvidia/version", encoding="ascii", errors="replace") as file:
            return file.read(4096)
    except OSError:
        return ""


def _never_raising(work: Callable[[], Answer]) -> Answer:
    """Whatever goes wrong here is an answer too: the others must not wait for it."""
    try:
        return work()
    except Exception as error:
        return Answer(failed=f"{type(error).__name__}: {error}")


def main() -> None:
    """`agent.py DIRECTORY RANK NAME`: one host of a lab, whose place this process has been started in."""
    from commcheck.runtime.folder import Folder

    directory, rank, name = sys.argv[1:4]
    try:
        code = Agent(Folder(directory, int(rank)), leader=-1, name=name).serve()
    except (KeyboardInterrupt, LaunchError):
        code = LaunchError.exit_code
    sys.exit(code)


if __name__ == "__main__":
    main()
