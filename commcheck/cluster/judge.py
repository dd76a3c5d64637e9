"""From all that was collected to the report: matrices, diagnoses, and the hosts that are better left out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from commcheck import __version__
from commcheck.cluster import drift, pace, reach, speed
from commcheck.cluster.reach import Finding, Seen
from commcheck.cluster.rounds import Pair
from commcheck.cluster.saying import diagnosis, listed, network_fix, seen
from commcheck.cluster.steps import told
from commcheck.cluster.untimed import untimed
from commcheck.cluster.values import Collected, Flow
from commcheck.model.cluster import ClusterReport, Drift, HostRow, Reach
from commcheck.model.diagnosis import Diagnosis, EvidenceKind, Fix, Role, Verdict
from commcheck.model.taxonomy import FixPattern

SURE = 0.5
"""Confidence from which a diagnosis makes the cluster unhealthy."""
_TOLD = 8
"""Hosts of which it is told why they said nothing."""


def report(
    collected: Collected, *, command: tuple[str, ...], begun: float, seconds: float, notes: tuple[str, ...] = ()
) -> ClusterReport:
    """The report. `begun`: seconds since the epoch."""
    found = reach.look(collected)
    differences = drift.drift(collected)
    every = _ordered(
        [
            *_silent(collected),
            *reach.findings(found),
            *pace.findings(found),
            *drift.findings(collected, differences),
        ]
    )
    unmeasured = (*_not_evaluated(found), *untimed(found, every))
    measured = (*collected.quiet, *collected.again)
    rates = speed.rates(measured)
    loaded = _middle(speed.flows((*collected.loaded, *collected.loaded_again)))
    latencies = speed.latencies(measured)
    return ClusterReport(
        verdict=_verdict(every, found),
        command=command,
        versions=_versions(collected, differences),
        hosts=_rows(collected),
        reach=reach.matrix(found),
        latency_us=_matrix(collected, latencies, 1),
        gbit=_matrix(collected, rates, 4),
        gbit_loaded=_matrix(collected, loaded, 4),
        diagnoses=tuple(f.diagnosis for f in every),
        drift=differences,
        bad_hosts=tuple(n for r, n in enumerate(collected.names) if any(r in f.bad for f in every)),
        rounds=collected.rounds,
        grouped=collected.isolated is not None,
        begun=round(begun, 3),
        seconds=round(seconds, 3),
        not_evaluated=unmeasured,
        notes=(*notes, *_about_names(found), *collected.notes),
        steps=told(collected.steps, len(collected.names), begun, collected.cards),
    )


def _ordered(every: list[Finding]) -> list[Finding]:
    """The surest first. What is said of a host's MTU by its interfaces is not said again where large packets vanish there."""
    vanish = {h for f in every if f.diagnosis.cause == "mtu-mismatch" and f.diagnosis.links for h in f.diagnosis.hosts}
    kept = [
        f
        for f in every
        if not (f.diagnosis.cause == "mtu-mismatch" and not f.diagnosis.links and vanish.issuperset(f.diagnosis.hosts))
    ]
    return sorted(kept, key=lambda f: -f.diagnosis.confidence)


def _verdict(every: list[Finding], found: Seen) -> Verdict:
    if any(f.diagnosis.confidence >= SURE and f.diagnosis.role is Role.ROOT for f in every):
        return Verdict.UNHEALTHY
    tried = len(found.letters)
    return Verdict.HEALTHY if tried and Reach.OK in found.letters.values() else Verdict.INCONCLUSIVE


def _silent(c: Collected) -> list[Finding]:
    """Hosts of which nothing is known, or no more, or no address."""
    made = []
    absent = tuple(r for r in range(len(c.names)) if r not in c.cards)
    if absent:
        made.append(Finding(diagnosis=_absent(c, absent), bad=absent))
    for rank, why in sorted(c.gone.items()):
        made.append(
            Finding(
                diagnosis=diagnosis(
                    "rank-stopped",
                    f"{c.names[rank]} has said what it is, and then fell silent",
                    0.7,
                    hosts=(c.names[rank],),
                    evidence=(seen(why, "what the hosts say to each other", EvidenceKind.PHASE),),
                    fixes=(
                        Fix(
                            pattern=FixPattern.NETWORK_SETTING,
                            text="look at the process on that host, and at the directory or channel where the hosts meet",
                        ),
                    ),
                ),
                bad=(rank,),
            )
        )
    nowhere = tuple(r for r in c.cards if r not in c.targets)
    if nowhere:
        names = tuple(c.names[r] for r in nowhere)
        made.append(
            Finding(
                diagnosis=diagnosis(
                    "interface-without-address",
                    f"No interface that is up has an address by which others could reach {listed(names)}",
                    0.9,
                    hosts=names,
                    evidence=tuple(
                        seen(f"{c.names[r]}: {_interfaces(c, r)}", "interfaces", EvidenceKind.FACT) for r in nowhere[:8]
                    ),
                    fixes=(network_fix("give the interface an address", "ip -br addr"),),
                ),
                bad=nowhere,
            )
        )
    return made


def _absent(c: Collected, absent: tuple[int, ...]) -> Diagnosis:
    names = tuple(c.names[r] for r in absent)
    told = [r for r in absent if r in c.silent]
    verb = "has" if len(names) == 1 else "have"
    return diagnosis(
        "rank-missing",
        f"{listed(names)} {verb} said nothing",
        0.9,
        hosts=names,
        evidence=(
            seen(
                f"{len(c.cards)} of {len(c.names)} hosts have said what they are",
                "where the hosts meet",
                EvidenceKind.FACT,
            ),
            *(seen(f"{c.names[r]}: {c.silent[r]}", "what starts it", EvidenceKind.EXIT) for r in told[:_TOLD]),
        ),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"see whether {listed(names)} {'is' if len(names) == 1 else 'are'} up, whether the task was started there, and whether it can be heard: "
                "whether it sees the directory, or standard input and output get through",
            ),
        ),
    )


def _interfaces(c: Collected, rank: int) -> str:
    texts = [
        f"{i.name} {'up' if i.up else 'down'} {', '.join(a.address for a in i.addresses) or 'without address'}"
        for i in c.cards[rank].facts.interfaces
        if not i.loopback
    ]
    return "; ".join(texts) or "there is none but loopback"


def _rows(c: Collected) -> tuple[HostRow, ...]:
    rows = []
    for rank, name in enumerate(c.names):
        card, target = c.cards.get(rank), c.targets.get(rank)
        rows.append(
            HostRow(
                name=name,
                address=target.address if target else "",
                interface=c.interfaces.get(rank, ""),
                port=target.ports[0] if target else None,
                facts=card.facts if card else None,
                said_nothing=card is None,
            )
        )
    return tuple(rows)


def _versions(c: Collected, differences: tuple[Drift, ...]) -> dict[str, str]:
    """Those that all hosts share."""
    differ = {d.name for d in differences}
    shared = next((card.facts.versions for card in c.cards.values()), {})
    return {"commcheck": __version__} | {name: v for name, v in shared.items() if name not in differ}


def _matrix(c: Collected, values: Mapping[Pair, float], digits: int) -> tuple[tuple[float | None, ...], ...]:
    if not values:
        return ()
    ranks = range(len(c.names))
    return tuple(tuple(round(values[a, b], digits) if (a, b) in values else None for b in ranks) for a in ranks)


def _middle(flows: list[tuple[Pair, Flow]]) -> dict[Pair, float]:
    found: dict[Pair, list[float]] = {}
    for direction, flow in flows:
        if flow.gbit is not None:
            found.setdefault(direction, []).append(flow.gbit)
    return {direction: median(values) for direction, values in found.items()}


def _not_evaluated(found: Seen) -> tuple[str, ...]:
    c = found.collected
    done = {frozenset((m.source, m.target)) for m in (*c.quiet, *c.again) if not m.failed}
    failed = {frozenset((m.source, m.target)): m for m in c.quiet if m.failed}
    left = [m for pair, m in failed.items() if pair not in done]
    texts = []
    if left:
        first = left[0]
        texts.append(
            f"{len(left)} links could not be timed, such as that between {found.name(first.source)} and "
            f"{found.name(first.target)}: {first.failed}"
        )
    skipped = {frozenset(d) for d, k in found.letters.items() if k is not Reach.OK} - done - failed.keys()
    if skipped:
        texts.append(f"latency, losses and speed of {len(skipped)} links over which large pieces do not pass")
    return tuple(texts)


def _about_names(found: Seen) -> tuple[str, ...]:
    if found.names_count or not found.by_pair:
        return ()
    return ("no host's name has an address on any other host: jobs here must be told addresses",)
