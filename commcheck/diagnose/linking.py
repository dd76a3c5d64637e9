"""Which directions between hosts do not carry data, from our own probes in both. Shared by the link rules. Pure."""

from __future__ import annotations

from commcheck.diagnose.view import data_probes, died
from commcheck.model.base import Value
from commcheck.model.case import Case, Outcome, Probe
from commcheck.model.diagnosis import Evidence, EvidenceKind, Link

Direction = tuple[int, int]


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


def culprits(directions: tuple[Direction, ...]) -> tuple[int, ...]:
    """The fewest ranks that are in every failed direction: one, if one host explains all and the rest does not fail
    among itself; else all that are concerned. Two hosts alone cannot be told apart, and both are named."""
    concerned = {r for d in directions for r in d}
    common = [r for r in sorted(concerned) if all(r in d for d in directions)]
    if len(common) == 1:
        return tuple(common)
    return tuple(sorted(concerned))


def shown(case: Case, found: Blocked, directions: tuple[Direction, ...]) -> tuple[Evidence, ...]:
    """The failed attempts, and that the opposite or another direction works."""
    seen = []
    for source, target in directions[:6]:
        p = found.failed[source, target]
        text = f"rank {source} to rank {target} at {p.target} port {p.port}: {p.outcome.value} ({p.detail})"
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
    return tuple(dict.fromkeys(r.host for r in case.ranks if r.name in ranks))
