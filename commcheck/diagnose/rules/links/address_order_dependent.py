"""The world works by luck: it would not if another rank had to be the one that connects.

**What you see.** Today all is well. With another rank order, another subnet, or one host more, the same settings hang
or fail: gloo compares the addresses of two ranks to decide which of them connects, and only one of them can.

**Why it happens.** One direction between two hosts does not carry new connections (a firewall, an address that only its
own host knows, a route back that is missing), and it happened to be the one that nobody needed.

**How to fix.** Mend the direction that is named, as if it had failed. Where commcheck knows more of why it fails, that
cause leads, and this one is what follows from it.

**How to confirm.** Give the ranks to the hosts in the opposite order, or `nc -vz ADDRESS PORT` in both directions.
"""

from __future__ import annotations

from commcheck.diagnose.linking import blocked, hosts, links, shown
from commcheck.diagnose.rules.links.data_ports_dropped import opened
from commcheck.diagnose.view import (
    evidence,
    interface_of,
    loopback,
    names,
    published,
    several_hosts,
    started,
    world_failed,
)
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Ended, Outcome
from commcheck.model.diagnosis import Evidence, EvidenceKind, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

FAILED = tuple(o for o in Outcome if o is not Outcome.OK)


def match(case: Case) -> Match | None:
    """The world came to its end, and a direction between its hosts does not work or an address is loopback."""
    if world_failed(case) or case.ended is not Ended.FINISHED or not several_hosts(case):
        return None
    found = blocked(case, *FAILED)
    directions = tuple(found.failed)
    local = tuple(r for r in started(case) if loopback(published(r)))
    targets = tuple(sorted({b for _, b in directions} | set(names(local))))
    if not targets:
        return None
    seen: list[Evidence] = [*shown(case, found, directions)] if directions else []
    for r in local[:4]:
        interface = interface_of(case, r, published(r))
        text = f"offers {published(r)} ({interface.name if interface else 'loopback'}) to ranks on other hosts"
        seen.append(evidence(EvidenceKind.FACT, text, r, "store"))
    return Match(
        symptom=Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=f"Nobody can connect to {ranks_text(targets)}: this world came through because nobody had to",
        confidence=0.8,
        ranks=targets,
        hosts=hosts(case, targets),
        links=links(case, directions),
        evidence=tuple(seen),
        against=(evidence(EvidenceKind.VALUE, "this world came through, with values that were right"),),
        fixes=opened(case, targets),
    )


RULE = Rule(
    cause="address-order-dependent",
    code="CC168",
    title="The world works by luck of how its addresses sort",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_UNEXPECTED_PROTOCOL,),
    fixes=((FixPattern.NETWORK_SETTING, "mend the direction that does not work"),),
    match=match,
    needs=("ranks",),
)
