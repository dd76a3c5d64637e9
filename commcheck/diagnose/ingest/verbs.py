"""RDMA cards as the verbs tools print them: ibstat, ibv_devinfo (also -v), ibdev2netdev (also -v) and show_gids. Pure.

Written after infiniband-diags/ibstat.c and libibverbs/examples/devinfo.c of rdma-core, and the scripts of mlnx-tools. What the
tools print one after the other is read together, and so are lines NAME=VALUE of NCCL's variables beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address

from msgspec.structs import replace

from commcheck.model.base import Value
from commcheck.model.fabric import Fabric, Gid, NetDevice, PciDevice, RdmaCard, RdmaPort

IBSTAT, DEVINFO, NETDEV, GIDS = "ibstat", "ibv_devinfo", "ibdev2netdev", "show_gids"
TABLE = 1024
"""Places of a table of addresses whose length nothing tells: more than any card has, so that none is beyond its end."""
_STATES = {"Initializing": "INIT", "???": "UNKNOWN", "invalid state": "UNKNOWN"}
_PHYSICAL = {"LINK_UP": "LinkUp", "POLLING": "Polling", "DISABLED": "Disabled", "SLEEP": "Sleep"}
_LANES = {1: 1, 2: 4, 4: 8, 8: 12, 16: 2}
_SPEEDS = {1: 2.5, 2: 5.0, 4: 10.0, 8: 10.0, 16: 14.0, 32: 25.0, 64: 50.0, 128: 100.0, 256: 200.0}
"""What the numbers of ibv_devinfo stand for, Gbit/s a lane; older ones know no names for the higher."""
_MELLANOX, _AMAZON = "0x02c9", "0x1d0f"

_CA = re.compile(r"(?:CA|iWARP RNIC|\?\?\?) '([^'\s]{1,64})'$")
_PORT = re.compile(r"Port (\d{1,3}):$")
_FIELD = re.compile(r"([A-Za-z][\w ]{0,40}?)\s*:\s*(.*)$")
_HCA = re.compile(r"hca_id:\s+(\S{1,64})$")
_GID = re.compile(r"GID\[\s*(\d{1,5})\]:\s+([0-9A-Fa-f:.]{2,45})(?:,\s*(.+))?$")
_NET = re.compile(
    r"(?:(?P<pci>[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s+)?(?P<card>\S{1,64})\s+(?:\((?P<model>MT\d+)\b.*?)?"
    r"port (?P<port>\d{1,3})(?: \((?P<state>\w+)\s*\))? ==> (?P<name>\S{1,64}) \((?P<up>Up|Down)\)$"
)
_ROW = re.compile(
    r"(\S{1,64})\s+(\d{1,3})\s+(\d{1,5})\s+((?:[0-9A-Fa-f]{4}:){7}[0-9A-Fa-f]{4})(?:\s+[\d.]{7,15})?(?:\s+([vV][12]))?(?:\s+(\S{1,64}))?$"
)
_SETTING = re.compile(r"(?:export\s+)?(NCCL_[A-Z0-9_]+)=(.*)$")
_NOISE = re.compile(r"DEV\s+PORT\s+INDEX\s+GID\b|---[-\s]+$|n_gids_found=\d+$")
_PLAIN = re.compile(
    r"(?:State|Physical state|Rate|Base lid|LMC|SM lid|Capability mask|Port GUID|Link layer|CA type|Number of ports|"
    r"Firmware version|Hardware version|Node GUID|System image GUID): |Port \d+:$"
)
"""Lines of ibstat that are known where a mail or a chat has taken their indentation away."""
_NAMED = 6
_LONGEST = 400  # characters of a line that a tool may have


class Told(Value, frozen=True):
    """What a text holds. `settings`: names and values of NCCL's variables. `lines`: those that are not empty; `known`: how many of them a tool has printed."""

    fabric: Fabric = Fabric()
    settings: tuple[tuple[str, str], ...] = ()
    lines: int = 0
    known: int = 0

    @property
    def cards(self) -> bool:
        """It is a tool's output and no log that has some of it: most of it is understood."""
        return bool(self.fabric.cards) and 2 * self.known >= self.lines


def read(text: str) -> Told:
    """What the tools told in a text, whatever stands around it."""
    reader = _Reader()
    lines = known = 0
    for line in text.splitlines():
        stripped = line[:_LONGEST].strip()
        if stripped:
            lines += 1
            known += reader.take(stripped, indented=line[:1] in " \t")
    return Told(fabric=reader.fabric(), settings=tuple(reader.settings.items()), lines=lines, known=known)


def merged(found: Iterable[Fabric]) -> Fabric | None:
    """What several texts say of one host's cards; None where they contradict each other, and so are of several hosts."""
    cards: dict[str, RdmaCard] = {}
    told: list[str] = []
    for fabric in found:
        told += fabric.told_by.split(", ")
        for card in fabric.cards:
            known = cards.get(card.name)
            both = card if known is None else _one(known, card)
            if both is None:
                return None
            cards[card.name] = both
    return Fabric(cards=tuple(cards.values()), verbs=True, told_by=", ".join(dict.fromkeys(told)))


def completed(fabric: Fabric) -> tuple[Fabric, tuple[str, ...]]:
    """Ports of which no text has said the state or the kind of link are taken to be in order; and a sentence about them."""
    lacking = [
        f"{card.name}:{p.number}"
        for card in fabric.cards
        for p in (card.ports or (RdmaPort(number=1, state=""),))
        if not p.state or not p.layer
    ]
    if not lacking:
        return fabric, ()
    cards = tuple(replace(card, ports=tuple(_completed(card, p) for p in card.ports)) for card in fabric.cards)
    said = f"state and kind of {', '.join(lacking[:_NAMED])}{' and more' if len(lacking) > _NAMED else ''}"
    return replace(fabric, cards=cards), (f"{said}: ibstat or ibv_devinfo show both; taken to be active",)


def _completed(card: RdmaCard, port: RdmaPort) -> RdmaPort:
    named = any(i.name.startswith("ib") for i in card.interfaces)
    routed = any(gid.version == 2 or gid.ipv4 for gid in port.gids)
    return replace(
        port,
        state=port.state or "ACTIVE",
        physical=port.physical if port.state else "assumed",
        layer=port.layer or ("InfiniBand" if named and not routed else "Ethernet"),
    )


def _one(known: RdmaCard, other: RdmaCard) -> RdmaCard | None:
    if any(a and b and a != b for a, b in ((known.model, other.model), (known.firmware, other.firmware))):
        return None
    ports = {p.number: p for p in known.ports}
    for port in other.ports:
        there = ports.get(port.number)
        both = port if there is None else _one_port(there, port)
        if both is None:
            return None
        ports[port.number] = both
    return replace(
        known,
        ports=tuple(ports[n] for n in sorted(ports)),
        pci=known.pci or other.pci,
        interfaces=known.interfaces or other.interfaces,
        vendor=known.vendor or other.vendor,
        model=known.model or other.model,
        firmware=known.firmware or other.firmware,
    )


def _one_port(known: RdmaPort, other: RdmaPort) -> RdmaPort | None:
    if any(a and b and a != b for a, b in ((known.state, other.state), (known.layer, other.layer))):
        return None
    gids = {g.index: g for g in known.gids}
    for gid in other.gids:
        there = gids.setdefault(gid.index, gid)
        if there.address != gid.address:
            return None
        gids[gid.index] = replace(there, kind=there.kind or gid.kind, interface=there.interface or gid.interface)
    return replace(
        known,
        state=known.state or other.state,
        physical=known.physical or other.physical,
        layer=known.layer or other.layer,
        rate=known.rate or other.rate,
        lid=other.lid if known.lid is None else known.lid,
        gids=tuple(gids[n] for n in sorted(gids)),
        table=min(filter(None, (known.table, other.table)), default=0),
    )


class _Reader:
    """Line by line: which card and port is spoken of."""

    def __init__(self) -> None:
        self._cards: dict[str, RdmaCard] = {}
        self._ports: dict[tuple[str, int], RdmaPort] = {}
        self._tools: dict[str, None] = {}
        self._card = ""
        self._port = 0
        self._lanes = 0
        self._tool = ""
        self._vendor = ""
        self.settings: dict[str, str] = {}

    def fabric(self) -> Fabric:
        """The cards, with their ports."""
        return Fabric(
            cards=tuple(
                replace(card, ports=tuple(p for (of, _), p in sorted(self._ports.items()) if of == name))
                for name, card in self._cards.items()
            ),
            verbs=True,
            told_by=", ".join(self._tools),
        )

    def take(self, line: str, *, indented: bool) -> bool:
        """One line; whether it is a tool's."""
        if found := _CA.match(line):
            self._begin(IBSTAT, found[1])
        elif found := _HCA.match(line):
            self._begin(DEVINFO, found[1])
        elif found := _NET.match(line):
            self._net(found)
        elif found := _ROW.match(line):
            self._row(found)
        elif found := _SETTING.match(line):
            self.settings[found[1]] = found[2].strip().strip("\"'")
        elif _NOISE.match(line):
            return True
        elif not self._card or not (indented or _PLAIN.match(line)):
            return False
        elif found := _GID.match(line):
            self._gid(int(found[1]), found[2], found[3] or "")
        else:
            self._field(line)
        return True

    def _begin(self, tool: str, name: str) -> None:
        self._tools[tool] = None
        self._tool, self._card, self._port = tool, name, 0
        self._cards.setdefault(name, RdmaCard(name=name))

    def _change(self, **more: object) -> None:
        key = (self._card, self._port)
        self._ports[key] = replace(self._ports.get(key) or RdmaPort(number=self._port, state=""), **more)

    def _about(self, **more: object) -> None:
        self._cards[self._card] = replace(self._cards[self._card], **more)

    def _net(self, found: re.Match[str]) -> None:
        self._begin(NETDEV, found["card"])
        self._port = int(found["port"])
        card = self._cards[self._card]
        interface = NetDevice(name=found["name"], mtu=0, up=found["up"] == "Up")
        self._about(
            interfaces=tuple(dict.fromkeys((*card.interfaces, interface))),
            model=card.model or found["model"] or "",
            pci=card.pci or (PciDevice(address=found["pci"]) if found["pci"] else None),
        )
        self._change(**({"state": found["state"]} if found["state"] else {}))
        self._card = ""

    def _row(self, found: re.Match[str]) -> None:
        self._begin(GIDS, found[1])
        self._port = int(found[2])
        self._gid(int(found[3]), found[4], f"RoCE {(found[5] or '').lower()}" if found[5] else "", found[6] or "")
        port = self._ports.get((self._card, self._port))
        self._change(table=(port.table if port is not None else 0) or TABLE)
        self._card = ""

    def _gid(self, index: int, text: str, kind: str, interface: str = "") -> None:
        try:
            address = IPv6Address(text).exploded
        except ValueError:
            return
        port = self._ports.get((self._card, self._port))
        others = [g for g in (port.gids if port is not None else ()) if g.index != index]
        gid = Gid(index=index, address=address, kind=kind.strip(), interface=interface)
        if not gid.empty:
            self._change(gids=tuple(sorted((*others, gid), key=lambda g: g.index)))

    def _field(self, line: str) -> None:
        if found := _PORT.match(line):
            self._port = int(found[1])
            self._change()
        elif found := _FIELD.match(line):
            name, value = found[1].lower(), found[2].strip()
            if name == "port" and self._tool == DEVINFO:
                self._port = _whole(value) or 0
                self._change()
            elif self._port:
                self._of_port(name, value)
            else:
                self._of_card(name, value)

    def _of_port(self, name: str, value: str) -> None:
        word = value.partition(" (")[0]
        match name:
            case "state":
                state = word.removeprefix("PORT_")
                self._change(state=_STATES.get(state, state.upper()))
            case "physical state" | "phys_state":
                self._change(physical=_PHYSICAL.get(word, word))
            case "rate":
                self._change(rate=_decimal(value))
            case "active_width":
                self._lanes = _LANES.get(_code(value), 0)
            case "active_speed":
                self._change(rate=self._lanes * _SPEEDS.get(_code(value), 0.0))
            case "link layer" | "link_layer":
                self._change(layer=value if value in ("InfiniBand", "Ethernet") else "")
            case "base lid" | "port_lid":
                self._change(lid=_whole(value))
            case "gid_tbl_len":
                self._change(table=_whole(value) or 0)

    def _of_card(self, name: str, value: str) -> None:
        match name:
            case "ca type":
                self._about(model=value)
            case "firmware version" | "fw_ver":
                self._about(firmware=value)
            case "vendor_id":
                self._vendor = value
                self._about(vendor=value if value == _AMAZON else "")
            case "vendor_part_id" if self._vendor == _MELLANOX:
                self._about(model=f"MT{value}")


def _whole(value: str) -> int | None:
    return int(value) if re.fullmatch(r"\d{1,6}", value, re.ASCII) else None


def _decimal(value: str) -> float:
    found = re.match(r"\d{1,5}(?:\.\d)?", value)
    return float(found[0]) if found else 0.0


def _code(value: str) -> int:
    """The number in brackets at the end, which does not change with the tool's version."""
    found = re.search(r"\((\d{1,5})\)$", value)
    return int(found[1]) if found else 0
