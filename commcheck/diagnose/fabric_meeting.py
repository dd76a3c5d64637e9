"""What the rules about RDMA cards share: whose settings meet which cards, and how they speak of ports. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from commcheck.diagnose.fabric import Port
from commcheck.diagnose.rules.environment.settings import Seen, seen
from commcheck.model.case import Case, HostFacts
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix
from commcheck.model.fabric import Fabric
from commcheck.model.taxonomy import FixPattern

SHOWN = 6


class Meeting(NamedTuple):
    """A process's settings and the cards of its host."""

    who: Seen
    host: HostFacts
    fabric: Fabric

    def value(self, name: str) -> str:
        """A variable; "" where it is not set."""
        return self.who.value(name) or ""

    @property
    def likely_nccl(self) -> bool:
        """Whether NCCL is likely to be used here at all: the host has GPUs, or a setting is NCCL's."""
        return bool(self.fabric.gpus) or any(name.startswith("NCCL_") for name in self.who.environment)


def meetings(case: Case) -> Iterator[Meeting]:
    """Every process whose host's cards are known, in a world that uses NCCL or may do so; and cards that somebody has shown,
    with what was shown of settings."""
    for host in case.hosts:
        if host.fabric is not None and host.fabric.told_by:
            yield Meeting(Seen(None, case.environment), host, host.fabric)
    if case.world is not None and "nccl" not in case.world.backend:
        return
    for who in seen(case) or _without_settings(case):
        found = case.host(who.record.host) if who.record is not None else next(iter(case.hosts), None)
        if found is not None and found.fabric is not None and not found.fabric.told_by:
            meeting = Meeting(who, found, found.fabric)
            if case.world is not None or meeting.likely_nccl:
                yield meeting


def _without_settings(case: Case) -> tuple[Seen, ...]:
    return (Seen(None, {}),) if case.world is None and not case.ranks and case.hosts else ()


def names(ports: Iterable[Port]) -> str:
    """Some ports, for a sentence."""
    found = [p.name for p in ports]
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def of_port(meeting: Meeting, p: Port) -> Evidence:
    """A port as evidence."""
    rate = f", {p.port.rate:g} Gb/s" if p.port.rate else ""
    text = f"{p.name} ({p.port.layer or 'link layer not known'}): {p.port.state}/{p.port.physical}{rate}"
    return of_cards(meeting, text)


def of_cards(meeting: Meeting, text: str) -> Evidence:
    """What is known of the cards, as evidence."""
    told = f"{meeting.fabric.told_by} ({meeting.host.host})" if meeting.fabric.told_by else ""
    return of_host(meeting, text, told or "/sys/class/infiniband")


def of_host(meeting: Meeting, text: str, source: str = "/sys") -> Evidence:
    """A fact of the host as evidence."""
    return Evidence(kind=EvidenceKind.FACT, text=text, rank=meeting.who.rank, source=source)


def fix(
    meeting: Meeting,
    text: str,
    *,
    pattern: FixPattern = FixPattern.COMMUNICATION_CONFIGURATION,
    unset: tuple[str, ...] = (),
    set_: dict[str, str] | None = None,
    commands: tuple[str, ...] = (),
) -> Fix:
    """A repair for the process's rank, or for whatever is started from here."""
    on = () if meeting.who.rank is None else (meeting.who.rank,)
    return Fix(pattern=pattern, text=text, unset=unset, set=set_ or {}, commands=commands, applies_to_ranks=on)
