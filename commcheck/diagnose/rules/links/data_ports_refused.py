"""The store's port is open, but connections between ranks on other ports are refused by something on the way.

**What you see.** `connectFullMesh failed with ... Connection refused`, although the peer's process listens.

**Why it happens.** A firewall that rejects, or a host that answers in place of another (a proxy, a NAT).

**How to fix.** Open all TCP ports between the hosts of the job.

**How to confirm.** `nc -l 40000` on one host, `nc -vz HOST 40000` on the other: refused.
"""

from __future__ import annotations

from commcheck.diagnose.linking import blamed, blocked, hosts, links, settled, shown, symptom
from commcheck.diagnose.rules.links.data_ports_dropped import opened
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Outcome
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Own connections to listeners of ours are refused, in both directions of a pair."""
    found = blocked(case, Outcome.REFUSED)
    directions = found.both_ways
    if not directions:
        return None
    ranks = blamed(found, directions)
    return Match(
        symptom=symptom(case, Symptom.SETUP_FAILURE),
        title=f"Data ports are refused to {ranks_text(sorted({b for _, b in directions}))}, where the peers listen",
        confidence=settled(case, 0.9),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, directions),
        evidence=shown(case, found, directions),
        fixes=opened(case, ranks),
    )


RULE = Rule(
    cause="data-ports-refused",
    code="CC161",
    title="Data ports are refused while the store's port is open",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR),
    fixes=((FixPattern.NETWORK_SETTING, "open the ephemeral ports between the hosts"),),
    match=match,
    explains=("address-order-dependent", "nccl-address-unreachable"),
    needs=("ranks",),
)
