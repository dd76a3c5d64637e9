"""Two hosts have the same address, or the same hardware address.

**What you see.** Connections reach now one, now the other; resets, refusals, worlds that form with the wrong host.

**Why it happens.** A cloned machine, two DHCP servers, a copied configuration file.

**How to fix.** Give one of them another address.

**How to confirm.** `arping -D -I IFACE ADDRESS` gets an answer; `ip link` shows the hardware addresses.
"""

from __future__ import annotations

from ipaddress import ip_network

from commcheck.diagnose.view import evidence, loopback, master_addresses, parse, published, started
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

NO_MAC = ("", "00:00:00:00:00:00")


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
        return _hardware(case, used)
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


def _hardware(case: Case, used: set[str]) -> Match | None:
    """Interfaces of two hosts in one network, an address of which ranks use, have one hardware address."""
    holders: dict[tuple[str, str], dict[str, str]] = {}
    concerned: set[tuple[str, str]] = set()
    for facts in {h.identity or h.host: h for h in case.hosts}.values():
        for interface in facts.interfaces:
            for a in interface.addresses:
                plain = parse(a.address)
                if plain is not None and interface.mac not in NO_MAC and not interface.loopback:
                    key = interface.mac, str(ip_network(f"{plain}/{a.prefix}", strict=False))
                    holders.setdefault(key, {})[facts.host] = interface.name
                    concerned |= {key} if a.address in used else set()
    twice = {key: where for key, where in holders.items() if len(where) > 1 and key in concerned}
    if not twice:
        return None
    (mac, network), where = next(iter(sorted(twice.items())))
    ranks = tuple(sorted({r.name for r in started(case) if r.host in where}))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"{mac} is the hardware address of {len(where)} hosts in {network}: {', '.join(sorted(where))}",
        confidence=0.93,
        ranks=ranks,
        hosts=tuple(sorted(where)),
        evidence=tuple(
            Evidence(kind=EvidenceKind.FACT, text=f"host {h} has {mac} on {i}", source="interfaces")
            for h, i in sorted(where.items())
        ),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="give one of the hosts another hardware address (a cloned machine keeps its original's)",
                commands=("sudo ip link set dev IFACE address 02:xx:xx:xx:xx:xx   # on the clone",),
                applies_to_ranks=ranks,
            ),
        ),
    )


RULE = Rule(
    cause="duplicate-address",
    code="CC166",
    title="Two hosts have the same address, or the same hardware address",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=((FixPattern.NETWORK_SETTING, "give one of the hosts another address"),),
    match=match,
    explains=(
        "nccl-address-unreachable",
        "address-order-dependent",
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "route-missing",
        "neighbour-silent",
        "port-dropped",
        "port-refused",
        "rank-missing",
        "wrong-master-host",
        "partition",
    ),
    needs=("ranks", "hosts"),
)
