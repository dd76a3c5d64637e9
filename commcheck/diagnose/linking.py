"""Which directions between hosts do not carry data, from our own probes in both. Shared by the link rules. Pure."""

from __future__ import annotations

from commcheck.diagnose.view import (
    data_probes,
    died,
    gone,
    in_phase,
    phase_of_end,
    published,
    symptom_in,
    world_failed,
)
from commcheck.model.base import Value, remembered
from commcheck.model.case import Case, Outcome, Probe
from commcheck.model.diagnosis import Evidence, EvidenceKind, Link
from commcheck.model.phase import PHASES, Phase
from commcheck.model.taxonomy import Symptom

Direction = tuple[int, int]


UNSETTLED = 0.7
"""Confidence at most while pairs are still being tried: too little to end the watch (match.DECIDED), since what the
others find out may move the blame; enough to be told when the watch ends without having heard of them."""


@remembered
def outstanding(case: Case) -> tuple[Direction, ...]:
    """The directions that somebody has set out to try, and of which nothing is known yet."""
    tries = {r.name: frozenset(r.tries) for r in case.ranks if r.tries}
    # One that has read the others' addresses knows who will try; the rest may not have come so far.
    everybody = frozenset(tries).union(*tries.values())
    dead = {r.name for r in case.ranks if gone(r)}
    found = []
    for r in case.ranks:
        if r.name in everybody and r.name not in dead and in_phase(r, Phase.PROBE):
            known = {p.peer_rank for p in r.probes if p.ends}
            found += [(r.name, b) for b in sorted(tries.get(r.name, everybody) - known - dead - {r.name})]
    return tuple(found)


@remembered
def silent(case: Case) -> tuple[int, ...]:
    """Ranks that have yet to say which address they offer, while others have said it."""
    early = PHASES[: PHASES.index(Phase.PROBE) + 1]
    if not any(published(r) for r in case.ranks):
        return ()
    return tuple(
        sorted(
            r.name
            for r in case.ranks
            if r.started != "not-started" and not gone(r) and not published(r) and any(in_phase(r, p) for p in early)
        )
    )


def settled(case: Case, confidence: float) -> float:
    """`confidence`, bounded while the ranks' own probes of each other are not all known, and where a host's facts could
    not be read: then it may as well be one of the causes that these show."""
    facts = (case.host(r.host) for r in case.ranks)
    unread = any(f is not None and not f.interfaces for f in facts)
    return min(confidence, UNSETTLED) if unread or outstanding(case) else confidence


def bulks(case: Case) -> dict[Direction, Probe]:
    """The last bulk probe of each direction whose both ends were there."""
    dead = {r.name for r in case.ranks if gone(r)}
    return {
        (r.name, p.peer_rank): p
        for r in case.ranks
        for p in r.probes
        if p.kind == "bulk" and p.peer_rank is not None and not {r.name, p.peer_rank} & dead
    }


class Blocked(Value, frozen=True):
    """The directions that failed with one outcome, and those that were tried and worked."""

    failed: dict[Direction, Probe]
    worked: tuple[Direction, ...]

    @property
    def both_ways(self) -> tuple[Direction, ...]:
        """Failed directions whose opposite failed too, or was not tried."""
        return tuple(d for d in self.failed if (d[1], d[0]) not in self.worked)

    @property
    def one_way(self) -> tuple[Direction, ...]:
        """Failed directions whose opposite works."""
        return tuple(d for d in self.failed if (d[1], d[0]) in self.worked)


def blocked(case: Case, *outcomes: Outcome) -> Blocked:
    """The directions that met one of `outcomes`, nothing counted that a dead rank explains."""
    probes = data_probes(case)
    return Blocked(
        failed={d: p for d, p in probes.items() if p.outcome in outcomes},
        worked=tuple(d for d, p in probes.items() if p.outcome is Outcome.OK),
    )


def unanswerable(case: Case, directions: tuple[Direction, ...]) -> tuple[Direction, ...]:
    """Those of silent `directions` whose other end has no way back: its answers are not sent, whatever it lets in."""
    probes = data_probes(case)
    back = {(a, b): probes[b, a] for a, b in directions if (b, a) in probes}
    return tuple(d for d, p in back.items() if p.outcome is Outcome.UNREACHABLE or p.router)


def culprits(directions: tuple[Direction, ...]) -> tuple[int, ...]:
    """The fewest ranks that are in every failed direction: one, if one host explains all and the rest does not fail
    among itself; else all that are concerned. Two hosts alone cannot be told apart, and both are named."""
    concerned = {r for d in directions for r in d}
    common = [r for r in sorted(concerned) if all(r in d for d in directions)]
    if len(common) == 1:
        return tuple(common)
    return tuple(sorted(concerned))


def blamed(found: Blocked, directions: tuple[Direction, ...]) -> tuple[int, ...]:
    """The culprits of `directions`; where these leave it open which end it is, the one-way failures of the same kind may
    show it: who does not let in one host is likely the one that does not let in the other."""
    ranks = culprits(directions)
    every = culprits(tuple(found.failed))
    return every if len(every) == 1 and every[0] in ranks else ranks


def symptom(case: Case, otherwise: Symptom) -> Symptom:
    """`otherwise`, or where all ranks had been connected, and the network went away under them: a hang of that phase."""
    ends = [phase_of_end(r) for r in case.ranks if r.started != "not-started"]
    stands = any(s.stuck for r in case.ranks for s in r.sockets)
    if not stands or not ends or any(p not in _CONNECTED for p in ends) or not world_failed(case):
        return otherwise
    return symptom_in(min(ends, key=PHASES.index), hang=True)


_CONNECTED = (Phase.FIRST_COLLECTIVE, Phase.VERIFY, Phase.STEADY)


def shown(case: Case, found: Blocked, directions: tuple[Direction, ...]) -> tuple[Evidence, ...]:
    """The failed attempts, and that the opposite or another direction works."""
    seen = []
    for source, target in directions[:6]:
        p = found.failed[source, target]
        text = f"rank {source} to rank {target} at {p.target} port {p.port}: {p.outcome.value} ({p.detail})"
        seen.append(Evidence(kind=EvidenceKind.PROBE, rank=source, text=text, source="own connection"))
    for source, target in outstanding(case)[:3]:
        text = f"rank {source} to rank {target}: not known yet, which may move the blame"
        seen.append(Evidence(kind=EvidenceKind.PROBE, rank=source, text=text, source="own connection"))
    for source, target in [d for d in found.worked if (d[1], d[0]) in directions][:3]:
        text = f"rank {source} to rank {target}: works"
        seen.append(Evidence(kind=EvidenceKind.PROBE, rank=source, text=text, source="own connection"))
    if any(r.phase for r in case.ranks if not died(r)):
        seen.append(
            Evidence(kind=EvidenceKind.PHASE, text="the store's port works: every rank came through the store phase")
        )
    return tuple(seen)


def links(case: Case, directions: tuple[Direction, ...]) -> tuple[Link, ...]:
    """The directions by host name."""
    host = {r.name: r.host or str(r.name) for r in case.ranks}
    return tuple(Link(source=host[a], target=host[b]) for a, b in directions if a in host and b in host)


def hosts(case: Case, ranks: tuple[int, ...]) -> tuple[str, ...]:
    """The hosts of some ranks."""
    wanted = set(ranks)
    return tuple(dict.fromkeys(r.host for r in case.ranks if r.name in wanted))
