"""Why NCCL will be slower here than the cards allow: each reason as a finding. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from commcheck.diagnose.fabric import DIRECT, Choice, Port, amazon, choice, level, nearest, ports, usable, yes
from commcheck.diagnose.fabric_meeting import SHOWN, Meeting, fix, meetings, names, of_host, of_port
from commcheck.diagnose.rules.environment.settings import WORKS_ANYWAY, Finding, fact
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, Fix
from commcheck.model.taxonomy import FixPattern, Symptom

MISTAKEN = 0.6
"""A setting that cannot be meant as it is: it switches off what it names."""
LOOKED_AT = 0.45
"""Something that slows down and stops nothing, and may be meant."""
HINT = 0.35
_SLOW = Symptom.SETUP_UNEXPECTED_PROTOCOL
_MTU = 4200  # bytes of an Ethernet frame that carries RDMA's largest packet of 4096


def findings(case: Case) -> list[Finding]:
    """All reasons, of all processes."""
    return [finding for meeting in meetings(case) for reason in REASONS for finding in reason(meeting)]


def _finding(meeting: Meeting, title: str, confidence: float, evidence: tuple[Evidence, ...], *fixes: Fix) -> Finding:
    worth = min(confidence, WORKS_ANYWAY) if meeting.who.finished and confidence > LOOKED_AT else confidence
    return Finding(meeting.who, title, worth, evidence[:SHOWN], fixes, _SLOW)


def _forced(meeting: Meeting) -> str:
    return meeting.value("NCCL_NET").strip().lower()


def switched_off(meeting: Meeting) -> Iterator[Finding]:
    """NCCL_IB_DISABLE although active cards are there."""
    active = [p for p in ports(meeting.fabric) if p.port.active]
    if not active or not yes(meeting.value("NCCL_IB_DISABLE")) or _forced(meeting):
        return
    title = (
        f"NCCL_IB_DISABLE={meeting.value('NCCL_IB_DISABLE')} switches off RDMA ports that are active: {names(active)}"
    )
    repair = fix(meeting, "unset NCCL_IB_DISABLE, unless sockets are meant", unset=("NCCL_IB_DISABLE",))
    evidence = (
        fact("NCCL_IB_DISABLE", meeting.value("NCCL_IB_DISABLE"), meeting.who),
        *(of_port(meeting, p) for p in active),
    )
    yield _finding(meeting, title, LOOKED_AT, evidence, repair)


def named_wrongly(meeting: Meeting) -> Iterator[Finding]:
    """NCCL_IB_HCA leaves no active port, or names one that is not there or not active."""
    told = meeting.value("NCCL_IB_HCA")
    there = [p for p in ports(meeting.fabric) if p.card.vendor != "0x1d0f"]
    if not told or not there or yes(meeting.value("NCCL_IB_DISABLE")) or _forced(meeting) in ("ib", "socket"):
        return
    wanted, active = choice(told), [p for p in there if p.port.active]
    if meeting.host.nccl is not None and not any(alone_of(wanted, p) for p in there):
        return  # a name that fits no card at all is the cause nccl-no-rdma
    repair = fix(meeting, "name active ports, or unset NCCL_IB_HCA to use all", unset=("NCCL_IB_HCA",))
    seen = (fact("NCCL_IB_HCA", told, meeting.who), *(of_port(meeting, p) for p in there))
    if active and not usable(meeting.fabric, meeting.who.environment):
        dead = [p for p in there if wanted.takes(p.card.name, p.port.number)]
        why = f"names ports that are not active ({names(dead)})" if dead else "leaves none of this host's ports"
        yield _finding(meeting, f"NCCL_IB_HCA={told} {why}: NCCL falls back to sockets", MISTAKEN, seen, repair)
        return
    if wanted.excludes:
        return
    for name, number in wanted.entries:
        alone = wanted._replace(entries=((name, number),))
        meant = [p for p in there if alone.names_it(p.card.name, p.port.number)]
        if not any(p.port.active for p in meant):
            entry = name if number is None else f"{name}:{number}"
            what = "is not active" if meant else "is no card or port of this host"
            yield _finding(meeting, f"NCCL_IB_HCA names {entry}, which {what}", LOOKED_AT, seen, repair)


def alone_of(wanted: Choice, p: Port) -> bool:
    """Whether a list takes the card, whatever its port."""
    return wanted._replace(entries=tuple((name, None) for name, _ in wanted.entries)).takes(p.card.name, p.port.number)


def asleep(meeting: Meeting) -> Iterator[Finding]:
    """No port is active, or one waits for its subnet manager."""
    found = [p for p in ports(meeting.fabric) if p.card.vendor != "0x1d0f"]
    if not found or yes(meeting.value("NCCL_IB_DISABLE")) or _forced(meeting):
        return
    waiting = [p for p in found if p.port.state == "INIT"]
    command = fix(meeting, "bring the port up: cable, switch port, subnet manager", pattern=FixPattern.NETWORK_SETTING,
                  commands=("ibstat   # State: Active, Physical state: LinkUp",))  # fmt: skip
    if not any(p.port.active for p in found):
        states = "; ".join(dict.fromkeys(f"{p.port.state}/{p.port.physical}" for p in found))
        title = f"no RDMA port of this host is active ({states}): NCCL falls back to sockets"
        yield _finding(meeting, title, LOOKED_AT, tuple(of_port(meeting, p) for p in found), command)
    elif waiting:
        title = f"{names(waiting)} waits for a subnet manager (state INIT): NCCL passes it over"
        yield _finding(meeting, title, LOOKED_AT, tuple(of_port(meeting, p) for p in waiting), command)


def not_passed_in(meeting: Meeting) -> Iterator[Finding]:
    """The cards are in /sys and their device files are not in /dev: a container without them."""
    active = [p for p in ports(meeting.fabric) if p.port.active]
    if not active or meeting.fabric.verbs or yes(meeting.value("NCCL_IB_DISABLE")) or _forced(meeting):
        return
    title = f"{names(active)} cannot be opened: there is no /dev/infiniband/uverbs* here, so NCCL finds no device"
    repair = fix(meeting, "pass /dev/infiniband into the container", pattern=FixPattern.MISSING_DEPENDENCY,
                 commands=("docker run --device=/dev/infiniband --ulimit memlock=-1 ...",))  # fmt: skip
    evidence = (of_host(meeting, "no /dev/infiniband/uverbs*", "/dev"), *(of_port(meeting, p) for p in active))
    yield _finding(meeting, title, MISTAKEN, evidence, repair)


def degraded(meeting: Meeting) -> Iterator[Finding]:
    """A port is slower than others of the same kind of card, or a card is linked more slowly than it could be."""
    found = usable(meeting.fabric, meeting.who.environment)
    best: dict[tuple[object, ...], float] = {}
    for p in found:
        best[_kind(p)] = max(best.get(_kind(p), 0.0), p.port.rate)
    slow = [p for p in found if p.card.model and 0 < p.port.rate < best[_kind(p)]]
    if slow:
        title = f"{names(slow)} runs at {slow[0].port.rate:g} Gb/s, its like at {best[_kind(slow[0])]:g}"
        repair = fix(meeting, "look at the cable and the switch port", pattern=FixPattern.NETWORK_SETTING)
        yield _finding(meeting, title, LOOKED_AT, tuple(of_port(meeting, p) for p in slow), repair)
    narrow = [card for card in dict.fromkeys(p.card for p in found) if _narrow(Port(card, card.ports[0]))]
    if narrow:
        pci = [card.pci for card in narrow if card.pci is not None]
        shown = f"{pci[0].speed:g} GT/s x{pci[0].width} of {pci[0].most_speed:g} GT/s x{pci[0].most_width}"
        title = f"{', '.join(card.name for card in narrow[:SHOWN])} is linked to the host more slowly than it could be ({shown})"
        yield _finding(
            meeting, title, HINT, tuple(of_host(meeting, f"{one.address}: {shown}", "/sys/bus/pci") for one in pci)
        )


def _kind(p: Port) -> tuple[object, ...]:
    """What should run alike: the same port of the same model. Two ports of one card may be for different networks."""
    return (p.card.model, len(p.card.ports), p.port.number, p.port.layer)


def _narrow(p: Port) -> bool:
    pci = p.card.pci
    return pci is not None and 0 < pci.speed * pci.width < pci.most_speed * pci.most_width


def not_direct(meeting: Meeting) -> Iterator[Finding]:
    """Cards that cannot read the GPUs' memory, or are not to."""
    fabric, found = meeting.fabric, usable(meeting.fabric, meeting.who.environment)
    if not fabric.gpus or not found:
        return
    if not fabric.peer_memory and fabric.open_driver is not True:
        title = (
            "cards cannot read GPU memory: nvidia_peermem is not loaded, and dma-buf needs NVIDIA's open kernel modules"
        )
        repair = fix(
            meeting,
            "load nvidia_peermem",
            pattern=FixPattern.MISSING_DEPENDENCY,
            commands=("sudo modprobe nvidia_peermem",),
        )
        yield _finding(
            meeting, title, LOOKED_AT, (of_host(meeting, "no nvidia_peermem, no nv_peer_mem", "/sys/module"),), repair
        )
        return
    cards = tuple(dict.fromkeys(p.card for p in found))
    near = [one for gpu in fabric.gpus if (one := nearest(gpu, cards)) is not None]
    allowed = level(meeting.who.environment, "NCCL_NET_GDR_LEVEL", DIRECT)
    far = [distance for _, distance in near if distance > allowed]
    if not far:
        return
    told = meeting.value("NCCL_NET_GDR_LEVEL")
    text = f"{len(far)} of {len(near)} GPUs have no card within {allowed.name}: the nearest is {min(far).name} away"
    if told and min(far) <= DIRECT:
        title = f"NCCL_NET_GDR_LEVEL={told} keeps cards from reading GPU memory: {text}"
        repair = fix(meeting, "unset NCCL_NET_GDR_LEVEL", unset=("NCCL_NET_GDR_LEVEL",))
        yield _finding(
            meeting, title, LOOKED_AT, (fact("NCCL_NET_GDR_LEVEL", told, meeting.who), of_host(meeting, text)), repair
        )
    elif not (meeting.value("NCCL_TOPO_FILE") or amazon(fabric)):
        hidden = all(len(gpu.path) < 2 for gpu in fabric.gpus)
        because = " (this virtual machine hides its PCI tree: NCCL_TOPO_FILE can tell it)" if hidden else ""
        repairs = (fix(meeting, "give NCCL the provider's topology file (NCCL_TOPO_FILE)"),) if hidden else ()
        yield _finding(meeting, f"{text}{because}", HINT, (of_host(meeting, text),), *repairs)


def redirected(meeting: Meeting) -> Iterator[Finding]:
    """Bridges send what devices say to each other up to the processor."""
    bridges = meeting.fabric.redirecting
    if not bridges or not usable(meeting.fabric, meeting.who.environment):
        return
    title = f"PCI access control (ACS) is on in {len(bridges)} bridges above GPUs and cards: direct traffic takes a detour, or hangs"
    repair = fix(meeting, "turn ACS off in the firmware, or for each bridge; a virtual machine needs it", pattern=FixPattern.NETWORK_SETTING,
                 commands=("sudo setpci -s BRIDGE ECAP_ACS+0x6.w=0000",))  # fmt: skip
    evidence = tuple(of_host(meeting, f"{bridge}: ACS redirects", "/sys/bus/pci") for bridge in bridges)
    yield _finding(meeting, title, LOOKED_AT, evidence, repair)


def small_frames(meeting: Meeting) -> Iterator[Finding]:
    """RoCE over interfaces whose MTU leaves RDMA small packets, or whose MTUs differ."""
    found = {p.card.name: p.card.interfaces for p in usable(meeting.fabric, meeting.who.environment) if p.roce}
    mtus = {
        interface.mtu for interfaces in found.values() for interface in interfaces if interface.up and interface.mtu
    }
    if not mtus or (min(mtus) >= _MTU and len(mtus) == 1):
        return
    title = (
        f"the interfaces of the RoCE cards have MTUs of {', '.join(map(str, sorted(mtus)))} bytes"
        if len(mtus) > 1
        else f"the interfaces of the RoCE cards have an MTU of {min(mtus)} bytes: RDMA packets are small"
    )
    repair = fix(meeting, "give all of them the same MTU, 4200 or more where the switches carry it", pattern=FixPattern.NETWORK_SETTING,
                 commands=("sudo ip link set dev IFACE mtu 9000",))  # fmt: skip
    evidence = tuple(
        of_host(meeting, f"{card}: {i.name} has MTU {i.mtu}", "/sys/class/net")
        for card, interfaces in found.items()
        for i in interfaces
    )
    yield _finding(meeting, title, LOOKED_AT if len(mtus) > 1 else HINT, evidence, repair)


REASONS: tuple[Callable[[Meeting], Iterator[Finding]], ...] = (
    switched_off,
    named_wrongly,
    asleep,
    not_passed_in,
    degraded,
    not_direct,
    redirected,
    small_frames,
)
