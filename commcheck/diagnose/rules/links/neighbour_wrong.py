"""A host sends what is meant for another one to the wrong hardware address, which somebody has set by hand.

**What you see.** Silence until the timeout between two hosts of one network, in both directions, although both are up and each
of them reaches all others.

**Why it happens.** A permanent entry of the kernel's table of neighbours (`ip neigh ... nud permanent`, `arp -s`, /etc/ethers)
that outlived the network card, the virtual machine or the address that it was made for. Such an entry is never asked for again.

**How to fix.** Delete the entry; the kernel then asks the network.

**How to confirm.** `ip neigh show ADDRESS` says PERMANENT, with another address than `ip link` shows on that host.
"""

from __future__ import annotations

from commcheck.diagnose.linking import Direction, hosts, links
from commcheck.diagnose.view import evidence, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Probe
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

_TRIED = ("master", "data", "back")


def match(case: Case) -> Match | None:
    """An attempt of ours came to nothing, or is not to come back, and the address that the kernel was told is not the host's.

    Entries that the kernel makes itself prove nothing: routers and clouds answer ARP for others."""
    found = _wrong(case)
    if not found:
        return None
    guilty = tuple(sorted({a for a, _ in found}))
    by_name = {r.name: r for r in case.ranks}
    first, right = next(iter(found.values()))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"The host of {ranks_text(guilty)} was told a wrong hardware address for {first.target}",
        confidence=0.96,
        ranks=guilty,
        hosts=hosts(case, guilty),
        links=links(case, tuple(found)),
        evidence=tuple(
            evidence(
                EvidenceKind.PROBE,
                f"{probe.target} is at {probe.fixed} once and for all (PERMANENT); the host itself has it at {own}",
                by_name.get(a),
                "/proc/net/arp, interfaces",
            )
            for (a, _), (probe, own) in list(found.items())[:6]
        ),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text=f"delete the entry, so that the kernel asks the network (it will find {right})",
                commands=tuple(
                    dict.fromkeys(f"sudo ip neigh del {probe.target} dev IFACE" for probe, _ in found.values())
                ),
                applies_to_ranks=guilty,
            ),
        ),
    )


def _wrong(case: Case) -> dict[Direction, tuple[Probe, str]]:
    """By direction, an attempt with such an entry, and the hardware address that the target's host has."""
    owners = {
        address.address: (facts.host, interface.mac)
        for facts in case.hosts
        for interface in facts.interfaces
        for address in interface.addresses
        if interface.mac
    }
    on = {r.host: r.name for r in reversed(case.ranks)}
    found: dict[Direction, tuple[Probe, str]] = {}
    for rank in started(case):
        for probe in rank.probes:
            host, right = owners.get(probe.target, ("", ""))
            wrong = probe.kind in _TRIED and probe.fixed and right and probe.fixed.lower() != right.lower()
            if wrong and host != rank.host:
                peer = probe.peer_rank if probe.peer_rank is not None else on.get(host)
                if peer is not None:
                    found[rank.name, peer] = probe, right
    return found


RULE = Rule(
    cause="neighbour-wrong",
    code="CC176",
    title="A host was told a wrong hardware address for another one",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=((FixPattern.NETWORK_SETTING, "delete the permanent entry of the table of neighbours"),),
    match=match,
    explains=(
        "nccl-address-unreachable",
        "rank-missing",
        "port-dropped",
        "data-ports-dropped",
        "one-way-blocked",
        "partition",
        "route-missing",
        "neighbour-silent",
    ),
    needs=("ranks", "hosts"),
)
