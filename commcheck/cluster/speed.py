"""Which links and hosts are out of line with the others: robust statistics of rates, latencies and losses. Pure.

A direction is held against what it would be without either of its hosts: with four hosts a slow one has half of all links,
and is the usual then. What stands out is measured again, alone, and the best of all counts: a busy machine makes slow now
and then, and nothing makes faster than it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from statistics import median

from commcheck.cluster.blame import Blamed, blame
from commcheck.cluster.rounds import Pair
from commcheck.cluster.values import Card, Flow, Measured, share_a_kernel
from commcheck.model.base import Value

TIMES = 2.0
"""How much slower than usual a link is called slow: a card with half of its lanes, or one step of speed below the others."""
FAR_TIMES = 8.0
"""How much slower a link is beyond doubt."""
LATE_TIMES, LATE_US = 4.0, 200.0
"""The same for round trips, and microseconds beyond the usual that a busy processor may cost."""
SPREAD = 4.0
"""And by how many standard deviations (by the median absolute deviation): where all differ, none stands out."""
MANY = 32
"""Hosts beyond which one host does not change what is usual, and is not left out of it."""
SAMPLES = 3
"""Values below which nothing is called usual."""
PROCESSORS_GBIT = 1.0
"""Between virtual hosts of one machine a stream is as fast as its processors copy, tens of Gbit/s, and a fraction of that where
they have other work (3.9 beside 18 was seen): below this it was the link."""
LOSSY, LOST = 0.01, 4
"""As link-lossy: share of small packets, and their number, from which a loss is one."""
SAMPLE = 3
"""Links of a host that is suspected which are measured again."""

Values = Mapping[Pair, float]


class Usual(Value, frozen=True):
    """What is usual: the middle, and the standard deviation of its logarithm."""

    middle: float
    spread: float


def flows(measured: Iterable[Measured]) -> list[tuple[Pair, Flow]]:
    """Each direction that was measured, as often as it was."""
    return [d for m in measured for d in (((m.source, m.target), m.there), ((m.target, m.source), m.back))]


def rates(measured: Iterable[Measured]) -> dict[Pair, float]:
    """The best rate of each direction."""
    found: dict[Pair, float] = {}
    for direction, flow in flows(measured):
        if flow.gbit is not None:
            found[direction] = max(flow.gbit, found.get(direction, 0.0))
    return found


def latencies(measured: Iterable[Measured]) -> dict[Pair, float]:
    """The best latency of each link, for both of its directions: what a connection takes, since the kernels see to that
    however busy the processes are."""
    found: dict[Pair, float] = {}
    for m in measured:
        value = m.latency_us if m.connect_us is None else m.connect_us
        if value is not None:
            best = min(value, found.get((m.source, m.target), math.inf))
            found[m.source, m.target] = found[m.target, m.source] = best
    return found


def losses(measured: Iterable[Measured]) -> dict[Pair, tuple[int, int]]:
    """Small packets that were sent and lost, by direction."""
    found: dict[Pair, tuple[int, int]] = {}
    for direction, flow in flows(measured):
        sent, lost = found.get(direction, (0, 0))
        found[direction] = (sent + flow.sent, lost + flow.lost)
    return found


def doubtless(cards: Iterable[Card]) -> float:
    """The rate below which a link between these hosts can be called slow."""
    return PROCESSORS_GBIT if share_a_kernel(cards) else math.inf


def usual(values: Iterable[float]) -> Usual | None:
    """Of these values; None where there are too few."""
    logs = [math.log(v) for v in values if v > 0]
    if len(logs) < SAMPLES:
        return None
    middle = median(logs)
    return Usual(middle=math.exp(middle), spread=1.4826 * median(abs(x - middle) for x in logs))


def slow(found: Values, below: float = math.inf) -> dict[Pair, Usual]:
    """Directions that are far slower than usual, with what is usual for them. `below`: and slower than that."""
    out = _out_of_line(found, lambda value, u: math.log(u.middle / value) > max(math.log(TIMES), SPREAD * u.spread))
    return {direction: u for direction, u in out.items() if found[direction] < below}


def late(found: Values) -> dict[Pair, Usual]:
    """Links whose round trips take far longer than usual, in both directions."""

    def is_late(value: float, u: Usual) -> bool:
        return value > max(LATE_TIMES * u.middle, u.middle + LATE_US) and math.log(value / u.middle) > SPREAD * u.spread

    return _out_of_line(found, is_late)


def _out_of_line(found: Values, bad: Callable[[float, Usual], bool]) -> dict[Pair, Usual]:
    hosts = {h for d in found for h in d}
    if len(hosts) > MANY:
        without = dict.fromkeys(hosts, usual(found.values()))
    else:
        without = {host: usual(v for d, v in found.items() if host not in d) for host in hosts}
    made: dict[Pair, Usual] = {}
    for direction, value in found.items():
        for u in (without[direction[0]], without[direction[1]]):
            if u is not None and value > 0 and bad(value, u):
                made[direction] = u
    return made


def lossy(found: Mapping[Pair, tuple[int, int]]) -> dict[Pair, tuple[int, int]]:
    """Directions that lose packets beyond doubt, and, where there are such, those that lose some too."""
    if not any(lost >= LOST and lost >= LOSSY * sent for sent, lost in found.values()):
        return {}
    return {d: (sent, lost) for d, (sent, lost) in found.items() if lost >= 2 and lost >= LOSSY / 3 * sent}


def far_out(measured: Iterable[Measured]) -> frozenset[frozenset[int]]:
    """Links, as pairs without order, so slow that no busy machine explains it."""
    found = rates(measured)
    return frozenset(frozenset(d) for d, u in slow(found).items() if found[d] * FAR_TIMES < u.middle)


def far_slower(found: Values, below: float) -> frozenset[Pair]:
    """Directions so slow while many talk that they are worth a second look: however much the others differ, since few of them
    are this slow by chance, and a look costs little."""
    out = _out_of_line(found, lambda value, u: value * FAR_TIMES < u.middle)
    return frozenset(d for d in out if found[d] < below)


def bad_links(measured: Iterable[Measured], below: float) -> frozenset[frozenset[int]]:
    """Links, as pairs without order, that could not be measured, or are slow, late or lossy."""
    measured = tuple(measured)
    done = {frozenset((m.source, m.target)) for m in measured if not m.failed}
    failed = {frozenset((m.source, m.target)) for m in measured if m.failed} - done
    bad = (slow(rates(measured), below), late(latencies(measured)), lossy(losses(measured)))
    return frozenset(failed | {frozenset(d) for directions in bad for d in directions})


def stands_out(measured: Iterable[Measured], below: float = math.inf) -> tuple[Pair, ...]:
    """Links to be measured again, alone: of a host that seems bad some, of other links each, as they were measured. What
    loses packets beyond doubt is known already. `below`: rates from which nothing is said of a link."""
    measured = tuple(measured)
    ways = {frozenset((m.source, m.target)): (m.source, m.target) for m in measured}
    counts = losses(measured)
    plain = lossy(counts)
    known = blame(plain, tuple(counts)) if plain else Blamed(hosts={}, links=())
    hosts: dict[int, None] = {}
    links = {frozenset((m.source, m.target)) for m in measured if m.failed}
    for bad, tried in (
        (set(slow(rates(measured), below)), set(rates(measured))),
        (set(late(latencies(measured))), set(latencies(measured))),
        ({d for d, (_, lost) in counts.items() if lost} - plain.keys(), set(counts)),
    ):
        left = {d for d in bad if not set(d) & known.hosts.keys()}
        if left:
            blamed = blame(left, tuple(d for d in tried if not set(d) & known.hosts.keys()))
            hosts |= dict.fromkeys(blamed.hosts)
            links |= {frozenset(d) for d in blamed.links}
    for host in hosts:
        own = [
            p for p in sorted(ways, key=sorted) if host in p and not (p - {host}) & (hosts.keys() | known.hosts.keys())
        ]
        links |= set(own[:: max(1, len(own) // SAMPLE)][:SAMPLE])
    return tuple(sorted(ways[p] for p in links))


# --- with all others talking -------------------------------------------------------------------------------


class Kept(Value, frozen=True):
    """Of a host's rate alone, what share is left while all talk: of what it sends, and of what it receives."""

    out: float
    into: float


def kept(alone: Values, loaded: Iterable[Measured]) -> dict[int, Kept]:
    """By host: the median over its links; hosts with too few of them are left out."""
    shares: dict[tuple[int, int], list[float]] = {}
    for direction, flow in flows(loaded):
        if flow.gbit is not None and alone.get(direction):
            for end in (0, 1):
                shares.setdefault((direction[end], end), []).append(flow.gbit / alone[direction])
    found = {}
    for host in {h for h, _ in shares}:
        out, into = shares.get((host, 0), []), shares.get((host, 1), [])
        if min(len(out), len(into)) >= SAMPLES:
            found[host] = Kept(out=median(out), into=median(into))
    return found


def crowded_out(alone: Values, loaded: Iterable[Measured]) -> dict[int, tuple[float, float]]:
    """Hosts of whose rate far less is left than of the others': what is left, and what is usual."""
    found = kept(alone, loaded)
    made: dict[int, tuple[float, float]] = {}
    for host, own in found.items():
        for value, others in (
            (own.out, [k.out for h, k in found.items() if h != host]),
            (own.into, [k.into for h, k in found.items() if h != host]),
        ):
            u = usual(others)
            if u is not None and value > 0 and math.log(u.middle / value) > max(math.log(TIMES), SPREAD * u.spread):
                made[host] = min(made.get(host, (1.0, 1.0)), (value, u.middle))
    return made


def stands_out_loaded(alone: Iterable[Measured], loaded: Iterable[Measured]) -> tuple[int, ...]:
    """Hosts for whose sake the rounds with all talking are repeated."""
    return tuple(crowded_out(rates(alone), loaded))
