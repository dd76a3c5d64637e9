"""The ranks offer addresses in different networks.

**What you see.** A part of the connections goes over another network than meant: slower than expected, or not at all
where the hosts are not in both networks.

**Why it happens.** Interface names mean other networks on other hosts, or one host name resolves to the management network.

**How to fix.** Choose the interfaces of one network on all ranks.

**How to confirm.** `ip -br addr` on each host for the interface that is used.
"""

from __future__ import annotations

from collections import Counter

from commcheck.diagnose.choosing import mended
from commcheck.diagnose.view import (
    Network,
    data_probes,
    evidence,
    loopback,
    names,
    networks,
    parse,
    published,
    rank_zero,
    several_hosts,
    started,
    world_failed,
)
from commcheck.model.base import sentence
from commcheck.model.case import Case, Outcome, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Published addresses in different networks of which each host has its own interface."""
    if not several_hosts(case):
        return None
    of = {r.slot: n for r in started(case) if (n := _network(case, r)) is not None}
    if len(set(of.values())) < 2:
        return None
    zero = rank_zero(case)
    counted = Counter(of.values())
    right = (
        of[zero.slot]
        if zero is not None and zero.slot in of and counted[of[zero.slot]] * 2 >= len(of)
        else max(sorted(counted, key=str), key=counted.__getitem__)
    )
    wrong = [r for r in started(case) if r.slot in of and of[r.slot] != right]
    # Whom another network reaches is not cut off by being in one of its own: networks may be routed.
    entered = {
        b for (a, b), p in data_probes(case).items() if p.outcome is Outcome.OK and _of(case, of, a) != _of(case, of, b)
    }
    cut_off = [r for r in wrong if r.name not in entered]
    tried = any(p.outcome is not Outcome.OK for p in data_probes(case).values())
    failed = world_failed(case) and tried and bool(cut_off)
    wrong = cut_off if failed else wrong
    return Match(
        symptom=Symptom.SETUP_FAILURE if failed else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=sentence(names(wrong), f"uses network {of[wrong[0].slot]}, the others {right}"),
        # Two networks that both carry may be meant so; the world then works, and the finding is only shown.
        confidence=0.85 if failed else 0.4,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(
            evidence(EvidenceKind.FACT, f"offers {published(r)} in {of[r.slot]}", r, "interfaces")
            for r in started(case)
            if r.slot in of
        )[:10],
        fixes=mended(case, tuple(wrong)),
    )


def _of(case: Case, of: dict[int, Network], name: int) -> Network | None:
    return next((of.get(r.slot) for r in started(case) if r.name == name), None)


def _network(case: Case, rank: RankRecord) -> Network | None:
    address = parse(published(rank)) if published(rank) else None
    if address is None or loopback(published(rank)):
        return None
    return next((n for n in networks(case.host(rank.host), usable=False) if address in n), None)


RULE = Rule(
    cause="interface-differs-between-ranks",
    code="CC145",
    title="The ranks offer addresses in different networks",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_UNEXPECTED_PROTOCOL),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "choose the interfaces of one network on all ranks"),),
    match=match,
    explains=(
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "route-missing",
        "env-differs-between-ranks",
        "partition",
    ),
    needs=("ranks", "hosts"),
)
