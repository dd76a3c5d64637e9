"""What NCCL makes of the RDMA cards that a host shows: which ports it takes, by which address, how far from a GPU. Pure.

Read in NCCL's `src/transport/net_ib`, `src/misc/utils.cc` (parseStringList, matchIfList) and `src/graph/paths.cc`, 2.10 to
2.30. What it does in the end the library alone can say: this is what it will probably do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from commcheck.model.fabric import Fabric, Gid, PciDevice, RdmaCard, RdmaPort

_MOST_CARDS = 32  # MAX_IB_DEVS
_YES = re.compile(r"\s*\+?(?:0[xX])?0*[1-9a-fA-F]")


class Distance(IntEnum):
    """How far a GPU and a card are from each other, in NCCL's words. The nearer the smaller."""

    LOC = 0  # the same device
    PIX = 4  # one PCIe switch between them
    PXB = 5  # several switches, but not the processor
    PHB = 8  # the processor that both hang on
    SYS = 9  # the link between two processors


DIRECT = Distance.PXB
"""How far a card may be from a GPU whose memory it reads (NCCL_NET_GDR_LEVEL, as NCCL has it when it is not set)."""
_LEVELS = {
    "LOC": Distance.LOC,
    "NVL": Distance.LOC,
    "PIX": Distance.PIX,
    "PXB": Distance.PXB,
    "PHB": Distance.PHB,
    "SYS": Distance.SYS,
}
_OLD_LEVELS = (Distance.LOC, Distance.PIX, Distance.PXB, Distance.PHB, Distance.SYS, Distance.SYS)  # 0 to 5, and more


class Port(NamedTuple):
    """A port and the card that it is of."""

    card: RdmaCard
    port: RdmaPort

    @property
    def name(self) -> str:
        """As NCCL writes it."""
        return f"{self.card.name}:{self.port.number}"

    @property
    def roce(self) -> bool:
        """RDMA over Ethernet."""
        return self.port.layer == "Ethernet"


class Choice(NamedTuple):
    """NCCL_IB_HCA as NCCL reads it: name (a prefix unless `exact`) and port of each entry, None for any port."""

    entries: tuple[tuple[str, int | None], ...]
    exact: bool = False
    excludes: bool = False

    def names_it(self, card: str, port: int) -> bool:
        """Whether an entry means this port."""
        return not self.entries or any(
            (card == name if self.exact else card.startswith(name)) and number in (None, port)
            for name, number in self.entries
        )

    def takes(self, card: str, port: int) -> bool:
        """Whether NCCL may use this port."""
        return self.names_it(card, port) != self.excludes


def choice(value: str) -> Choice:
    """The list that NCCL reads: `^` first and then `=`, both in front of the whole list alone; a port behind a colon."""
    excludes = value.startswith("^")
    rest = value[1:] if excludes else value
    exact = rest.startswith("=")
    entries = []
    for entry in (rest[1:] if exact else rest).split(","):
        name, _, port = entry.partition(":")
        if name:
            entries.append((name, _atoi(port.partition(":")[0])))
    return Choice(tuple(entries[:_MOST_CARDS]), exact, excludes)


def _atoi(text: str) -> int | None:
    """What C reads: the digits at the beginning, else 0. -1 stands for any port, as nothing does."""
    if not text:
        return None
    digits = re.match(r"\s*[+-]?\d{1,9}", text)
    number = int(digits[0]) if digits else 0
    return None if number == -1 else number


def yes(value: str | None) -> bool:
    """Whether NCCL takes a number that it reads with strtoll for set."""
    return value is not None and _YES.match(value) is not None


def ports(fabric: Fabric) -> tuple[Port, ...]:
    """All ports of all cards."""
    return tuple(Port(card, port) for card in fabric.cards for port in card.ports)


def amazon(fabric: Fabric) -> bool:
    """Amazon's EFA: no verbs of NCCL's own, a plug-in reaches it."""
    return any(card.vendor == "0x1d0f" for card in fabric.cards)


def usable(fabric: Fabric, environment: Mapping[str, str]) -> tuple[Port, ...]:
    """The ports that NCCL's own InfiniBand transport would use under these settings, none of them proven."""
    if yes(environment.get("NCCL_IB_DISABLE")):
        return ()
    wanted = choice(environment.get("NCCL_IB_HCA", ""))
    return tuple(
        p
        for p in ports(fabric)
        if p.port.active
        and p.port.layer in ("InfiniBand", "Ethernet")
        and p.card.vendor != "0x1d0f"
        and wanted.takes(p.card.name, p.port.number)
    )


# --- the address of a RoCE port --------------------------------------------------------------------------------


def gid_index(port: RdmaPort, environment: Mapping[str, str]) -> int:
    """The place in the port's table whose address NCCL would use (since 2.21; before, 0 unless it is set)."""
    told = _number(environment.get("NCCL_IB_GID_INDEX", ""), -1)
    if told >= 0:
        return told
    family6 = environment.get("NCCL_IB_ADDR_FAMILY") == "AF_INET6"
    version = _number(environment.get("NCCL_IB_ROCE_VERSION_NUM", ""), 2)
    by_index = {gid.index: gid for gid in port.gids}
    best = 0
    for index in range(1, port.table):
        candidate, current = by_index.get(index), by_index.get(best)
        if candidate is None or bool(candidate.ipv4) == family6:
            continue
        if current is None or bool(current.ipv4) == family6:
            best = index  # the first of the wanted family
        elif (
            not candidate.link_local
            and candidate.version == version
            and (current.version != version or current.link_local)
        ):
            best = index
    return best


def gid(port: RdmaPort, index: int) -> Gid | None:
    """The address at a place; None where nothing is configured."""
    return next((found for found in port.gids if found.index == index), None)


def _number(text: str, otherwise: int) -> int:
    try:
        return int(text.strip(), 0)
    except ValueError:
        return otherwise


# --- distances -------------------------------------------------------------------------------------------------


def distance(one: PciDevice, other: PciDevice) -> Distance:
    """How far two PCI devices are from each other. A switch is two bridges: one towards the processor, one towards the device."""
    if one.address == other.address:
        return Distance.LOC
    common = 0
    for a, b in zip(one.path[:-1], other.path[:-1], strict=False):
        if a != b:
            break
        common += 1
    if common:
        return Distance.PIX if max(len(one.path), len(other.path)) - common <= 2 else Distance.PXB
    if one.numa is not None and other.numa is not None:
        return Distance.PHB if one.numa == other.numa else Distance.SYS
    return Distance.PHB if one.host_bridge == other.host_bridge else Distance.SYS


def nearest(gpu: PciDevice, cards: tuple[RdmaCard, ...]) -> tuple[RdmaCard, Distance] | None:
    """The card that is nearest to a GPU, and how far it is."""
    found = [(card, distance(gpu, card.pci)) for card in cards if card.pci is not None]
    return min(found, key=lambda pair: pair[1], default=None)


def level(environment: Mapping[str, str], name: str, otherwise: Distance) -> Distance:
    """What NCCL_NET_GDR_LEVEL or NCCL_P2P_LEVEL allow: a word, or the number that older releases knew."""
    value = environment.get(name, "").strip()
    if value.upper() in _LEVELS:
        return _LEVELS[value.upper()]
    number = _number(value, -1)
    return otherwise if number < 0 else _OLD_LEVELS[min(number, len(_OLD_LEVELS) - 1)]
