"""Small packets pass, large ones vanish: the path carries less than the interfaces believe.

**What you see.** The world forms, small tensors pass, a larger one hangs for ever; nothing is logged.

**Why it happens.** An overlay (VXLAN, VPN, tunnel) or a switch with a smaller MTU, and the ICMP message that would tell
the sender is filtered, so that path MTU discovery fails.

**How to fix.** Lower the MTU of the interfaces to what the path carries, or let ICMP "fragmentation needed" through.

**How to confirm.** `ping -M do -s 1472 HOST` fails, `ping -M do -s 1300 HOST` works.
"""

from __future__ import annotations

from commcheck.diagnose.linking import bulks, culprits, hosts, links, outstanding, settled
from commcheck.diagnose.view import evidence, interface_of, published
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Outcome
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A connection of ours stands and carries small messages, and 64 KiB do not come through."""
    # Where a part came through, packets are lost, and not only large ones.
    stalled = {d: p for d, p in bulks(case).items() if p.outcome is Outcome.STALLED and p.arrived == 0}
    if not stalled:
        return None
    directions = tuple(stalled)
    ranks = culprits(directions)
    seen = [
        Evidence(
            kind=EvidenceKind.PROBE,
            rank=a,
            text=f"to rank {b} at {stalled[a, b].target}: {stalled[a, b].detail}",
            source="own connection",
        )
        for a, b in directions[:6]
    ]
    seen += [
        Evidence(kind=EvidenceKind.PROBE, rank=a, text=f"to rank {b}: not known yet", source="own connection")
        for a, b in outstanding(case)[:3]
    ]
    sizes: set[int] = set()
    for r in case.ranks:
        interface = interface_of(case, r, published(r)) if published(r) else None
        if interface is not None and len(sizes) < 8:
            sizes.add(interface.mtu)
            seen.append(evidence(EvidenceKind.FACT, f"{interface.name} has MTU {interface.mtu}", r, "interfaces"))
    return Match(
        symptom=Symptom.PERF_HANG,
        title=f"Small messages pass between {ranks_text(ranks)}, 64 KiB do not: the path's MTU is smaller than the interfaces'",
        confidence=settled(case, 0.9 if len(sizes) > 1 else 0.85),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, directions),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="lower the MTU of the interfaces to what the path carries",
                commands=("sudo ip link set dev IFACE mtu 1400   # find the size with: ping -M do -s 1372 HOST",),
                applies_to_ranks=ranks,
            ),
        ),
    )


RULE = Rule(
    cause="mtu-mismatch",
    code="CC165",
    title="Large packets vanish on the way",
    stage=Stage.SETUP,
    symptoms=(Symptom.PERF_HANG, Symptom.PREP_HANG_TIMEOUT, Symptom.PREP_COMMUNICATION_ERROR),
    fixes=((FixPattern.NETWORK_SETTING, "lower the MTU to what the path carries"),),
    match=match,
    explains=("address-order-dependent", "nccl-address-unreachable"),
    needs=("ranks",),
)
