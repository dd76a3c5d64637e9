"""Connections work in one direction only.

**What you see.** With gloo it depends on which side connects, that is on how addresses sort: the same hosts work in one
rank order and hang in another.

**Why it happens.** A firewall on one host only; a stateful filter that lets answers out and nothing new in.

**How to fix.** Open the ephemeral ports on the host that does not let connections in.

**How to confirm.** `nc -vz` from each side: one succeeds, the other does not.
"""

from __future__ import annotations

from commcheck.diagnose.linking import blocked, hosts, links, settled, shown, symptom
from commcheck.diagnose.rules.links.data_ports_dropped import opened
from commcheck.diagnose.view import evidence, world_failed
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Outcome
from commcheck.model.diagnosis import EvidenceKind, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A direction fails whose opposite works."""
    found = blocked(case, Outcome.TIMED_OUT, Outcome.REFUSED)
    by_host = {r.name: r.host for r in case.ranks}
    directions = found.one_way
    if not directions or found.both_ways:
        return None
    targets = tuple(sorted({b for _, b in directions}))
    sources = tuple(sorted({a for a, _ in directions}))
    # Hosts that let each other in are hardly closed: where all failures begin at one host, it does not let out.
    out = len(sources) == 1 and len({by_host.get(b) for b in targets}) > 1
    ranks = sources if out else targets
    where = f"from {ranks_text(ranks)} are blocked; to it they work"
    failed = world_failed(case)
    against = (
        ()
        if failed
        else (
            evidence(
                EvidenceKind.VALUE, "this world formed all the same: by how its addresses sort, the open side connected"
            ),
        )
    )
    return Match(
        symptom=symptom(case, Symptom.SETUP_HANG_TIMEOUT) if failed else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=f"Connections {where if out else f'to {ranks_text(ranks)} are blocked; from it they work'}",
        confidence=settled(case, 0.92),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, directions),
        evidence=shown(case, found, directions),
        against=against,
        fixes=opened(case, ranks),
    )


RULE = Rule(
    cause="one-way-blocked",
    code="CC162",
    title="Connections work in one direction only",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    fixes=((FixPattern.NETWORK_SETTING, "open the ports on the host that lets nothing in"),),
    match=match,
    explains=("address-order-dependent", "data-ports-dropped", "data-ports-refused", "nccl-address-unreachable"),
    needs=("ranks",),
)
