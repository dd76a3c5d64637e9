"""A link loses packets: everything arrives in the end, and late.

**What you see.** The world forms and its values are right. Collectives take ten to a hundred times as long as on other
hosts, or now and then a second longer; with heavy losses connections time out.

**Why it happens.** A bad cable, transceiver or port; duplex that was negotiated wrongly; a switch or virtual network
that polices traffic; a radio link. TCP repeats what is lost and takes each loss for congestion: its throughput is
bounded by about MSS / (RTT * sqrt(2p/3)) (Mathis, Semke, Mahdavi, Ott, 1997), so 1 % costs nine tenths of what 0.01 %
leaves, and the last packet of a message, when it is lost, costs a whole retransmission time-out of 200 ms.

**How to fix.** Replace the cable or transceiver, correct speed and duplex, or take the host out of the job.

**How to confirm.** `ethtool -S IFACE | grep -iE 'err|drop|crc'` on both ends and the counters of the switch's port;
`ss -ti dst HOST` shows `retrans` growing; `ping -f -c 1000 HOST` as root.
"""

from __future__ import annotations

from commcheck.diagnose.linking import bulks, culprits, hosts, links, settled
from commcheck.diagnose.view import evidence, world_failed
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

LOSSY = 0.01
"""Share of lost packets from which it is named. TCP of MSS 1460 over 1 ms is then bounded to about 140 Mbit/s, by the
formula above. Cables that are in order lose about one packet in a million (1000BASE-T may have a bit error rate of
1e-10, IEEE 802.3 clause 40), so what lies between is a fault too, but takes more packets to see than we send."""
AT_LEAST = 4
"""Lost packets from which it is named: none is lost where nothing is wrong, and one or two may be an accident."""
TOO = 2
"""Lost packets from which a direction counts as lossy too, where another one is."""
SURE = 8
"""Lost packets in all from which it is sure enough to end the watch."""


def match(case: Case) -> Match | None:
    """Our own connections lost packets, few of which were ever in flight at once."""
    if not any(p.lost >= AT_LEAST and p.lost >= LOSSY * p.sent for p in bulks(case).values()):
        return None
    # One that plainly loses shows that chance put another just below the bound: both count for whom they have in common.
    found = {d: p for d, p in bulks(case).items() if p.lost >= TOO and p.lost >= LOSSY / 3 * p.sent}
    directions = tuple(sorted(found))
    ranks = culprits(directions)
    worst = max(found.values(), key=lambda p: p.lost / p.sent)
    seen = [
        Evidence(
            kind=EvidenceKind.PROBE,
            rank=a,
            text=f"rank {a} to rank {b}: {p.lost} of {p.sent} packets were lost ({100 * p.lost / p.sent:.1f} %)",
            source="TCP_INFO of an own connection",
        )
        for (a, b), p in sorted(found.items())[:6]
    ]
    clean = [(a, b) for (a, b), p in sorted(bulks(case).items()) if p.sent and not p.lost]
    if clean:
        text = "nothing was lost from " + ", ".join(f"{a} to {b}" for a, b in clean[:6])
        seen.append(evidence(EvidenceKind.PROBE, text, None, "TCP_INFO of own connections"))
    against = () if world_failed(case) else (evidence(EvidenceKind.VALUE, "this world came through all the same"),)
    total = sum(p.lost for p in found.values())
    return Match(
        symptom=Symptom.PERF_LOW_EFFICIENCY,
        title=f"Packets are lost {_where(directions, ranks)}: {100 * worst.lost / worst.sent:.0f} % of those sent",
        confidence=settled(case, 0.9 if total >= SURE else 0.7),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, directions),
        evidence=tuple(seen),
        against=against,
        fixes=(
            Fix(
                pattern=FixPattern.CHANGE_HARDWARE,
                text="replace the cable, transceiver or port; until then leave the host out of the job",
                commands=("ethtool -S IFACE | grep -iE 'err|drop|crc'   # and the counters of the switch's port",),
                applies_to_ranks=ranks,
            ),
        ),
    )


def _where(directions: tuple[tuple[int, int], ...], ranks: tuple[int, ...]) -> str:
    """In a title: on the way to or from a host, or between hosts."""
    if len(ranks) > 1:
        return f"between {ranks_text(ranks)}"
    into, out = any(b == ranks[0] for _, b in directions), any(a == ranks[0] for a, _ in directions)
    return f"on the way {'to and from' if into and out else 'to' if into else 'from'} {ranks_text(ranks)}"


RULE = Rule(
    cause="link-lossy",
    code="CC402",
    title="A link loses packets",
    stage=Stage.TRAINING,
    symptoms=(Symptom.PERF_LOW_EFFICIENCY,),
    fixes=(
        (FixPattern.CHANGE_HARDWARE, "replace the cable, transceiver or port"),
        (FixPattern.NETWORK_SETTING, "correct speed and duplex, or lift the limit that drops"),
    ),
    match=match,
    # A connection attempt whose packets are lost looks like one that is dropped, and a slow one like a slow link.
    explains=(
        "nccl-address-unreachable",
        "one-way-blocked",
        "data-ports-dropped",
        "partition",
        "mtu-mismatch",
        "link-slow",
        "address-order-dependent",
    ),
    needs=("ranks",),
)
