"""Hosts that were told a wrong hardware address for another one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commcheck.cluster.saying import diagnosis, listed, network_fix, seen, some
from commcheck.model.diagnosis import Diagnosis, EvidenceKind

if TYPE_CHECKING:
    from commcheck.cluster.reach import Seen
    from commcheck.cluster.rounds import Pair


def told_wrong(found: Seen, directions: tuple[Pair, ...]) -> dict[Pair, tuple[str, str]]:
    """Of these links, and their other direction, those whose source was told another hardware address than its target has: what
    it was told, and what is right."""
    both = dict.fromkeys(d for a, b in directions for d in ((a, b), (b, a)) if d in found.by_pair)
    told = {}
    for a, b in both:
        address, card = found.collected.targets[b].address, found.collected.cards.get(b)
        interfaces = card.facts.interfaces if card is not None else ()
        own = next((i.mac for i in interfaces for x in i.addresses if x.address == address), "")
        fixed = found.by_pair[a, b].fixed
        if fixed and own and fixed.lower() != own.lower():
            told[a, b] = fixed, own
    return told


def neighbour_wrong(found: Seen, told: dict[Pair, tuple[str, str]]) -> Diagnosis:
    """What is to be said of them."""
    hosts = tuple(dict.fromkeys(found.name(a) for a, _ in told))
    targets = tuple(dict.fromkeys(found.name(b) for _, b in told))
    shown = [
        seen(
            f"on {found.name(a)} {found.collected.targets[b].address} is at {fixed} once and for all (PERMANENT); "
            f"{found.name(b)} has it at {own}",
            "/proc/net/arp, interfaces",
            EvidenceKind.FACT,
        )
        for (a, b), (fixed, own) in told.items()
    ]
    addresses = dict.fromkeys(found.collected.targets[b].address for _, b in told)
    delete = "; ".join(f"sudo ip neigh del {address} dev IFACE" for address in addresses)
    return diagnosis(
        "neighbour-wrong",
        f"{listed(hosts)} {'was' if len(hosts) == 1 else 'were'} told a wrong hardware address for {listed(targets)}",
        0.96,
        hosts=hosts,
        links=found.links(tuple(told)),
        evidence=some(shown),
        fixes=(network_fix("delete the entry: the kernel then asks the network", delete),),
    )
