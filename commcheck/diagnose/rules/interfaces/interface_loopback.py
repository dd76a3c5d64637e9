"""A rank of a world on several hosts is told to use loopback.

**What you see.** Sometimes nothing: gloo decides who connects to whom by comparing addresses, and the rank that
published loopback may be the one that connects. With another subnet, rank order or one rank more the same setting fails:
at once on one rank, after many times the timeout on the others.

**Why it happens.** GLOO_SOCKET_IFNAME=lo was set for a test on one machine and stayed.

**How to fix.** Name the interface of the network that the hosts share.

**How to confirm.** `ss -tn` shows that peers were given 127.0.0.1.
"""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.diagnose.choosing import FOLLOWS_A_CHOICE, choices, matched
from commcheck.diagnose.view import evidence, names, published, several_hosts, world_failed
from commcheck.model.base import sentence
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A named loopback interface in a world of several hosts, whichever way the world went."""
    if not several_hosts(case):
        return None
    wrong = tuple(c for c in choices(case) if c.interface is not None and c.interface.loopback)
    if not wrong:
        return None
    failed = world_failed(case)
    symptom = Symptom.SETUP_FAILURE if failed else Symptom.SETUP_UNEXPECTED_PROTOCOL
    found = matched(
        case,
        wrong,
        sentence(names(c.rank for c in wrong), "offers loopback to ranks on other hosts"),
        symptom=symptom,
    )
    told = tuple(
        evidence(EvidenceKind.FACT, f"tells the others to connect to {published(c.rank)}", c.rank, "store")
        for c in wrong
        if published(c.rank)
    )
    against = (
        ()
        if failed
        else (
            evidence(
                EvidenceKind.VALUE,
                "this world formed all the same: by how its addresses sort, the other side connected",
            ),
        )
    )
    return replace(found, evidence=(*found.evidence, *told), against=against)


RULE = Rule(
    cause="interface-loopback",
    code="CC143",
    title="A rank of a world on several hosts uses loopback",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_UNEXPECTED_PROTOCOL),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "name the interface of the network that the hosts share"),),
    match=match,
    explains=FOLLOWS_A_CHOICE,
    needs=("ranks", "hosts"),
)
