"""A rank offers an address that the other hosts cannot reach: docker0, a virtual bridge, a private link.

**What you see.** `connectFullMesh failed` with a timeout, no route, or a refusal, from ranks whose own settings are right.

**Why it happens.** The interface named (or the one that the host name stands for) belongs to a network of this host
alone. Container bridges have the same address on every host, so that a peer even connects to itself.

**How to fix.** Name an interface in a network that all hosts share.

**How to confirm.** From another host, `ip route get ADDRESS` leads elsewhere.
"""

from __future__ import annotations

from commcheck.diagnose.advice import common_networks
from commcheck.diagnose.choosing import mended
from commcheck.diagnose.linking import UNSETTLED, settled, silent
from commcheck.diagnose.view import (
    Network,
    addresses,
    data_probes,
    evidence,
    interface_of,
    loopback,
    named_interface,
    names,
    networks,
    parse,
    published,
    several_hosts,
    started,
    world_failed,
)
from commcheck.model.base import sentence
from commcheck.model.case import Case, Outcome, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A published address outside all networks that the hosts share, while there is such a network, that peers could
    not reach; or one that another host has too."""
    if not several_hosts(case):
        return None
    shared = common_networks(case)
    wrong = [r for r in started(case) if _stray(case, r, shared)]
    if not wrong or not shared:
        return None
    seen: list[Evidence] = []
    for r in wrong[:6]:
        interface = interface_of(case, r, published(r))
        chosen = "GLOO_SOCKET_IFNAME" if named_interface(r) else "its host name"
        text = f"offers {published(r)} ({interface.name if interface else 'unknown interface'}, chosen by {chosen})"
        seen.append(evidence(EvidenceKind.FACT, text, r, "interfaces"))
    for (source, target), p in data_probes(case).items():
        if target in names(wrong) and p.outcome is not Outcome.OK:
            seen.append(
                Evidence(
                    kind=EvidenceKind.PROBE,
                    rank=source,
                    text=f"{p.target}: {p.outcome.value} {p.detail}",
                    source="own connection",
                )
            )
    networks_shown = ", ".join(str(n) for n in shared)
    seen.append(evidence(EvidenceKind.FACT, f"the hosts share {networks_shown}"))
    first = interface_of(case, wrong[0], published(wrong[0]))
    return Match(
        symptom=Symptom.SETUP_FAILURE if world_failed(case) else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=sentence(
            names(wrong),
            f"offers {published(wrong[0])} ({first.name if first else '?'}), which the other hosts cannot reach",
        ),
        # Who else offers such an address is known when all have said theirs, and been tried.
        confidence=UNSETTLED if silent(case) else settled(case, 0.94),
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(seen[:12]),
        fixes=mended(case, tuple(wrong)),
    )


def _stray(case: Case, rank: RankRecord, shared: list[Network]) -> bool:
    address = published(rank)
    parsed = parse(address) if address else None
    if parsed is None or loopback(address) or any(parsed in n for n in shared):
        return False
    others = [case.host(h) for h in dict.fromkeys(r.host for r in started(case)) if h != rank.host]
    if any(address in addresses(h) for h in others):
        return True
    failed = any(p.outcome is not Outcome.OK for (_, to), p in data_probes(case).items() if to == rank.name)
    alone = not any(parsed in n for h in others for n in networks(h))
    return failed and alone


RULE = Rule(
    cause="interface-unroutable",
    code="CC144",
    title="A rank offers an address that the other hosts cannot reach",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "name an interface in a network that all hosts share"),),
    match=match,
    explains=(
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "route-missing",
        "duplicate-address",
        "interface-differs-between-ranks",
        "env-differs-between-ranks",
        "address-order-dependent",
        "partition",
        "rank-exited",
    ),
    needs=("ranks", "hosts"),
)
