"""Two hosts have the same address.

**What you see.** Connections reach now one, now the other; resets, refusals, worlds that form with the wrong host.

**Why it happens.** A cloned machine, two DHCP servers, a copied configuration file.

**How to fix.** Give one of them another address.

**How to confirm.** `arping -D -I IFACE ADDRESS` gets an answer.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, loopback, master_addresses, published, started
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """An address that ranks use is on interfaces of two hosts. Equal addresses of bridges that nobody uses are usual."""
    holders: dict[str, dict[str, str]] = {}
    for facts in case.hosts:
        for interface in facts.interfaces:
            for a in interface.addresses:
                plain = a.address.partition("%")[0]
                if not interface.loopback and not loopback(plain) and not plain.startswith("fe80"):
                    holders.setdefault(plain, {})[facts.host] = interface.name
    used = {published(r) for r in started(case)} | {a for r in started(case) for a in master_addresses(r)}
    twice = {a: h for a, h in holders.items() if len(h) > 1 and a in used}
    if not twice:
        return None
    address, where = next(iter(sorted(twice.items())))
    ranks = tuple(sorted({r.name for r in started(case) if r.host in where}))
    seen = [
        Evidence(kind=EvidenceKind.FACT, text=f"host {h} has {address} on {i}", source="interfaces")
        for h, i in sorted(where.items())
    ]
    seen += [
        evidence(EvidenceKind.FACT, f"offers {address}", r, "store") for r in started(case) if published(r) == address
    ][:4]
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"{address} is the address of {len(where)} hosts: {', '.join(sorted(where))}",
        confidence=0.93,
        ranks=ranks,
        hosts=tuple(sorted(where)),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="give one of the hosts another address",
                commands=(f"sudo ip addr del {address}/PREFIX dev IFACE   # on the host that should not have it",),
                applies_to_ranks=ranks,
            ),
        ),
    )


RULE = Rule(
    cause="duplicate-address",
    code="CC166",
    title="Two hosts have the same address",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=((FixPattern.NETWORK_SETTING, "give one of the hosts another address"),),
    match=match,
    explains=(
        "address-order-dependent",
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "route-missing",
        "port-dropped",
        "port-refused",
        "rank-missing",
        "wrong-master-host",
        "partition",
    ),
    needs=("ranks", "hosts"),
)
