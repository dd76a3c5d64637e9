"""One host, or one link, is far slower than the others.

**What you see.** Nothing fails. Every step takes as long as the slowest link needs: one host at 100 Mbit/s makes a
cluster of 10 Gbit/s a hundred times slower, because all wait for it in every collective.

**Why it happens.** A card that negotiated 10 or 100 Mbit/s over a damaged cable, the management network in place of the
fast one, a rate limit of a virtual machine or container, a saturated uplink.

**How to fix.** Correct the cable or the negotiated speed, name the fast interface, lift the limit, or leave the host out.

**How to confirm.** `ethtool IFACE | grep Speed` and `tc qdisc show dev IFACE` on the host; `iperf3` between it and others.
"""

from __future__ import annotations

from statistics import median

from commcheck.diagnose.linking import Direction, bulks, culprits, hosts, links, settled
from commcheck.diagnose.view import evidence, world_failed
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

SLOW = 100e6 / 8
"""Bytes per second above which no link is called slow: 64 KiB take 5 ms then, and less time than that is lost to a
busy machine now and then. It is also what fast Ethernet carries, the slowest that a cluster's data network is built of."""
TIMES = 8.0
"""How much slower than the median of the others: a card of 1 Gbit/s among those of 10 is, one that shares its uplink
with three others is not."""
HOSTS = 3
"""Hosts (more exactly, probed addresses) from which there are others to compare with."""


def match(case: Case) -> Match | None:
    """The slow directions have one host, or one pair of hosts, in common, and all others are fast."""
    rates = {d: p.rate for d, p in bulks(case).items() if p.rate > 0}
    if len({r for d in rates for r in d}) < HOSTS:
        return None
    slow = tuple(sorted(d for d, rate in rates.items() if rate < SLOW))
    if not slow:
        return None
    ranks = culprits(slow)
    others = (
        {d: rate for d, rate in rates.items() if not set(d) & set(ranks)} if len(ranks) == 1 else _rest(rates, slow)
    )
    if len(ranks) > 2 or not others:
        return None
    usual = median(others.values())
    # A host to which one direction alone is slow may have been busy at that moment; then it is not called slow.
    if any(rates[d] * TIMES > usual for d in slow) or (len(ranks) == 1 and not _whole_side(ranks[0], slow, rates)):
        return None
    seen = [
        Evidence(
            kind=EvidenceKind.PROBE, rank=a, text=f"rank {a} to rank {b}: {_rate(rates[a, b])}", source="own connection"
        )
        for a, b in slow[:6]
    ]
    seen.append(evidence(EvidenceKind.PROBE, f"the others: {_rate(usual)} (median)", None, "own connections"))
    against = () if world_failed(case) else (evidence(EvidenceKind.VALUE, "this world came through all the same"),)
    what = f"The network of {ranks_text(ranks)}" if len(ranks) == 1 else f"The link between {ranks_text(ranks)}"
    return Match(
        symptom=Symptom.PERF_LOW_EFFICIENCY,
        title=f"{what} carries {_rate(max(rates[d] for d in slow))}, the others' {_rate(usual)}",
        confidence=settled(case, 0.85),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, slow),
        evidence=tuple(seen),
        against=against,
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="correct the negotiated speed, lift the rate limit, or name the fast interface",
                commands=("ethtool IFACE | grep Speed; tc qdisc show dev IFACE",),
                applies_to_ranks=ranks,
            ),
        ),
    )


def _rest(rates: dict[Direction, float], slow: tuple[Direction, ...]) -> dict[Direction, float]:
    return {d: rate for d, rate in rates.items() if d not in slow}


def _whole_side(rank: int, slow: tuple[Direction, ...], rates: dict[Direction, float]) -> bool:
    """All that was measured from the rank is slow, or all to it."""
    sides = ({d for d in rates if d[0] == rank}, {d for d in rates if d[1] == rank})
    return any(len(side) > 1 and side <= set(slow) for side in sides)


def _rate(value: float) -> str:
    """Bytes per second, as networks are spoken of."""
    megabits = value * 8 / 1e6
    return f"{megabits / 1000:.1f} Gbit/s" if megabits >= 1000 else f"{megabits:.3g} Mbit/s"


RULE = Rule(
    cause="link-slow",
    code="CC403",
    title="One link is far slower than the others",
    stage=Stage.TRAINING,
    symptoms=(Symptom.PERF_LOW_EFFICIENCY,),
    fixes=(
        (FixPattern.NETWORK_SETTING, "correct the speed, lift the limit, or name the fast interface"),
        (FixPattern.CHANGE_HARDWARE, "replace the cable or the card"),
    ),
    match=match,
    needs=("ranks",),
)
