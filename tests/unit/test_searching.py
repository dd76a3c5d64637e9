"""Group testing by those who lead a cluster: the lead itself, among hosts whose measurements are made up and err as real ones do."""

import re
from random import Random

import msgspec
import pytest

from commcheck.cluster import reaching
from commcheck.cluster.agent import CARD
from commcheck.cluster.group_testing import opposite
from commcheck.cluster.judge import report
from commcheck.cluster.lead import Lead, Options
from commcheck.cluster.to_text import render
from commcheck.cluster.values import (
    Answer,
    Card,
    Flow,
    Leave,
    Measured,
    MeasurePairs,
    MeetAll,
    MeetGroups,
    Order,
    PortTry,
    Reached,
)
from commcheck.model.case import Address, HostFacts, Interface
from commcheck.model.cluster import Reach
from commcheck.model.diagnosis import Verdict

PORTS = (40_000, 50_000)
KINDS = ("dead", "ports", "slow", "lossy", "late")


class MadeUp:
    """A board on which hosts answer that are not there. `hosts`: what is wrong with which; `links`: the same of directions.
    `gone`: who falls silent, and with which order."""

    rank = -1

    def __init__(self, count, seed, hosts=(), links=(), gone=(), busy=0.003):
        self.count, self.luck, self.busy = count, Random(seed), busy
        self.hosts, self.links, self.gone = dict(hosts), dict(links), dict(gone)
        self.number, self.order, self.used = 0, None, set()

    def publish(self, topic, data):
        self.number, self.order = self.number + 1, msgspec.json.decode(data, type=Order)
        assert topic == f"order-{self.number}"
        if isinstance(self.order, MeetGroups):
            hosts = [h for test in self.order.tests for group in test for h in group]
            assert len(hosts) == len(set(hosts)), "a host is in two tests of a round"

    def others(self, topic, ranks):
        said = self.card if topic == CARD else self.answer
        return {rank: msgspec.json.encode(said(rank)) for rank in ranks if self.gone.get(rank, 10**9) > self.number}

    def lost(self, ranks):
        return {}

    def wait(self, look, seconds):
        return look()

    def card(self, rank):
        own = Address(family="ipv4", address=f"10.0.{rank >> 8}.{rank & 255}", prefix=16)
        eth = Interface(name="eth0", up=True, carrier=True, loopback=False, mtu=1500, addresses=(own,))
        facts = HostFacts(host=f"h{rank}", interfaces=(eth,), identity=f"{rank}/0")
        return Card(name=f"h{rank}", facts=facts, mark=b"m", ports=PORTS)

    def answer(self, rank):
        if isinstance(self.order, MeasurePairs):
            pairs = [p for p in self.order.pairs if p[0] == rank]
            return Answer(measured=tuple(self.measured(a, b) for a, b in pairs))
        if isinstance(self.order, MeetAll):
            return Answer(reached=tuple(self.met(rank, t.rank, False) for t in self.order.targets if t.rank != rank))
        own, others = opposite(self.order.tests, rank)
        return Answer(reached=tuple(self.met(rank, other, len(own) + len(others) > 2) for other in others))

    def faults(self, a, b):
        both = {self.hosts.get(a), self.hosts.get(b), self.links.get((a, b))}
        return both - {"ports"} | ({"ports"} if self.hosts.get(b) == "ports" else set())

    def met(self, a, b, moving):
        self.used.add((a, b))
        faults = self.faults(a, b)
        closed = PORTS if "dead" in faults else PORTS[1:] if "ports" in faults else ()
        ports = tuple(PortTry(port=p, reach=Reach.DROPPED if p in closed else Reach.OK) for p in PORTS)
        if "dead" in faults:
            return Reached(rank=b, ports=ports)
        return Reached(rank=b, ports=ports, large=Reach.OK, gbit=self.moved(faults) if moving else None)

    def measured(self, a, b):
        late = "late" in self.faults(a, b) | self.faults(b, a)
        return Measured(
            source=a,
            target=b,
            connect_us=50 * self.luck.lognormvariate(0, 0.1) * (60 if late else 1),
            there=self.flow(a, b),
            back=self.flow(b, a),
        )

    def flow(self, a, b):
        faults = self.faults(a, b)
        lost = sum(self.luck.random() < 0.03 for _ in range(400)) if "lossy" in faults else 0
        return Flow(gbit=self.rate(faults, 10.0, 0.1), sent=400 if lost else 100, lost=lost)

    def moved(self, faults):
        first = self.rate(faults, 1.5, 0.5)
        return max(first, self.rate(faults, 1.5, 0.5)) if first < 1.5 / reaching.MOVED_SLOW else first

    def rate(self, faults, usual, spread):
        busy = self.luck.uniform(5, 30) if self.luck.random() < self.busy else 1.0
        return usual * self.luck.lognormvariate(0, spread) / busy / (60 if "slow" in faults else 1)


def searched(board, **options):
    said = []
    lead = Lead(board, [f"h{n}" for n in range(board.count)], range(board.count), said.append, Options(**options))
    found = lead.collected()
    lead.leave(0)
    assert isinstance(board.order, Leave)
    return found, report(found, command=("commcheck", "cluster"), begun=0.0, seconds=1.0), said


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.whole) for seed in range(3, 12))])
def test_what_is_bad_among_hundreds_is_named_and_nothing_else(seed):
    luck = Random(seed)
    count = luck.randint(130, 300)
    bad = luck.sample(range(count), luck.randint(0, 6))
    good = sorted(set(range(count)) - set(bad))
    hosts = {h: luck.choice(KINDS) for h in bad}
    links = {tuple(luck.sample(good, 2)): luck.choice(["dead", "slow"]) for _ in range(luck.randint(0, 4))}
    board = MadeUp(count, seed, hosts, links)
    found, done, said = searched(board)
    assert set(done.bad_hosts) == {f"h{h}" for h in hosts}
    named = {(k.source, k.target) for d in done.diagnoses if len(d.hosts) == 2 for k in d.links}
    assert {(f"h{a}", f"h{b}") for a, b in links} <= named | {(b, a) for a, b in named}
    assert len([d for d in done.diagnoses if len(d.hosts) == 2]) == len(links)
    assert done.verdict is (Verdict.UNHEALTHY if hosts or links else Verdict.HEALTHY)
    assert len([s for s in said if re.match(r"round \d+: \d+ (pairs|tests)", s)]) == done.rounds < 40
    assert (done.grouped, found.isolated.unsure) == (True, ())


def test_what_was_not_measured_is_said_and_nothing_is_said_of_it():
    board = MadeUp(150, 1, {7: "dead"})
    found, done, _ = searched(board)
    cells = {(a, b) for a, row in enumerate(done.gbit) for b, value in enumerate(row) if value is not None}
    assert cells == {d for m in (*found.quiet, *found.again) for d in ((m.source, m.target), (m.target, m.source))}
    tried = {(a, b) for a, row in enumerate(done.reach) for b, letter in enumerate(row) if letter not in "-."}
    assert tried == board.used
    assert {a for a in range(150) for b in range(150) if a != b and (a, b) not in tried} == set(range(150)) - {
        b for b in range(150) if {(7, b), (b, 7)} <= tried
    }
    links = 150 * 149 // 2
    sentences = " ".join(done.not_evaluated)
    untimed, all_links = map(int, re.search(r"speed of (\d+) of (\d+) links: not measured", sentences).groups())
    untried = int(re.search(rf"(\d+) of {links} links were not tried: those of h7,", sentences).group(1))
    assert all_links == links
    assert untried == links - len({tuple(sorted(d)) for d in tried})
    failing = len({d for d in tried if 7 in d}) // 2
    assert untimed == links - untried - failing - len(cells) // 2
    text = render(done)
    assert f"{done.rounds} of disjoint pairs and groups" in text
    assert f"{2 * untried} were not tried" in text


def test_hosts_that_fall_silent_on_the_way_are_left_alone():
    board = MadeUp(140, 3, gone={20: 4, 90: 30})
    _, done, _ = searched(board)
    assert {(d.cause, d.hosts) for d in done.diagnoses} == {("rank-stopped", ("h20",)), ("rank-stopped", ("h90",))}
    assert done.bad_hosts == ("h20", "h90")


def test_a_network_in_two_parts_is_called_that():
    links = {(a, b): "dead" for a in range(140) for b in range(140) if (a < 50) != (b < 50)}
    _, done, _ = searched(MadeUp(140, 5, links=links))
    assert "partition" in [d.cause for d in done.diagnoses]
    (one,) = (d for d in done.diagnoses if d.cause == "partition")
    assert "2 groups" in one.title


@pytest.mark.parametrize("most", [0, 5, 6, 7])
def test_up_to_how_many_hosts_every_pair_is_timed_can_be_told(most):
    found, done, _ = searched(MadeUp(6, 1), all_pairs_up_to=most)
    assert done.grouped == (most < 6)
    assert done.verdict is Verdict.HEALTHY
    if most >= 6:
        assert (done.rounds, len(found.quiet)) == (5, 15)


def test_without_streams_too():
    found, done, _ = searched(MadeUp(140, 2, {3: "dead", 9: "late"}), seconds=0.0)
    assert set(done.bad_hosts) == {"h3", "h9"}
    assert found.loaded == ()
