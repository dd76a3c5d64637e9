"""What the rules of this folder share: the hosts whose libnccl was asked, and how they are spoken of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from commcheck.diagnose.view import gone, in_phase
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Ended, HostFacts, Origin
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix
from commcheck.model.nccl import NcclAddress, NcclFacts, NcclReach
from commcheck.model.phase import Phase
from commcheck.model.taxonomy import FixPattern

FAMILY = {"AF_INET": "ipv4", "AF_INET6": "ipv6"}
WORDS = {"ipv4": "IPv4", "ipv6": "IPv6"}
SECOND_CHOICE = ("lo", "docker", "virbr", "veth", "br-")
"""Interfaces that lead to no other host, by how their names begin."""


FAILED = (Ended.FAILED, Ended.STALLED, Ended.DEADLINE)
UNTIL_IT_FAILS = 0.7
"""At most, while a world is on its way: what was asked beforehand does not end the watch over what really happens."""


BEFORE_NCCL = 0.6
"""At most, where ranks failed with errors that are not NCCL's, or stand at the store: they did not come as far."""
OF_NCCL = ("nccl error", "ncclinvalid", "ncclinternal", "ncclsystem", "ncclremote", "ncclunhandled")


class Asked(NamedTuple):
    """A host, what its libnccl said, and the ranks there that use NCCL (none for lint). `limit`: the most that a cause may
    be worth at this time."""

    host: HostFacts
    nccl: NcclFacts
    ranks: tuple[int, ...]
    limit: float = 1.0

    @property
    def where(self) -> str:
        """For the end of a title: which ranks, or nothing for this host alone."""
        return f" ({ranks_text(self.ranks)})" if self.ranks else ""


def asked(case: Case) -> tuple[Asked, ...]:
    """The hosts where NCCL matters and was asked about. None where the world came through: its settings work."""
    if case.ended is Ended.FINISHED:
        return ()
    found = []
    limit = _limit(case)
    for host in case.hosts:
        if host.nccl is not None:
            ranks = tuple(r.name for r in case.ranks if r.host == host.host and "nccl" in (r.backend or "nccl"))
            tried = (*host.nccl.reached, *_tried_by_ranks(case, host.host))
            found.append(Asked(host, replace(host.nccl, reached=tried), ranks, limit))
    return tuple(found)


def _tried_by_ranks(case: Case, host: str) -> tuple[NcclReach, ...]:
    """What the ranks of a host met at NCCL's addresses of other ranks; a rank of which nothing is known stands for its host."""
    there = {r.name: r for r in case.ranks}
    return tuple(
        NcclReach(
            host=there[p.peer_rank].host if p.peer_rank in there else f"rank {p.peer_rank}",
            address=p.target,
            port=p.port,
            outcome=p.outcome.value,
            detail=p.detail,
            rank=p.peer_rank,
        )
        for r in case.ranks
        for p in r.probes
        if p.kind == "nccl" and p.peer_rank is not None and r.host == host
        if not gone(r) and not (p.peer_rank in there and gone(there[p.peer_rank]))
    )


def _limit(case: Case) -> float:
    if case.origin is Origin.STATIC:
        return 1.0
    if case.ended not in FAILED:
        return UNTIL_IT_FAILS
    errors = [r.error.message.lower() for r in case.ranks if r.error is not None]
    at_store = any(in_phase(r, phase) for r in case.ranks for phase in (Phase.RESOLVE, Phase.STORE))
    others = errors and not any(word in e for e in errors for word in OF_NCCL)
    return BEFORE_NCCL if others or at_store else 1.0


def several_hosts(case: Case) -> bool | None:
    """Whether the job runs on more than one host; None where nothing says so."""
    if len({r.host for r in case.ranks} or {h.host for h in case.hosts}) > 1:
        return True
    environment = case.environment
    if case.origin is not Origin.STATIC:
        if case.world is None or len(case.ranks) >= case.world.size:
            return False
        environment = case.ranks[0].environment if case.ranks else {}  # one rank's view: the others may be anywhere
    for name in ("GROUP_WORLD_SIZE", "SLURM_NNODES", "SLURM_JOB_NUM_NODES", "PET_NNODES"):
        if (count := _number(environment, name)) is not None:
            return count > 1
    size, local = _number(environment, "WORLD_SIZE"), _number(environment, "LOCAL_WORLD_SIZE")
    return None if size is None or local is None else local < size


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").partition(":")[0]
    return int(text) if text.isdecimal() else None


def by_library(one: Asked) -> tuple[Evidence, ...]:
    """What the library itself said, as evidence."""
    library, answer = one.nccl.library, one.nccl.answer
    if answer is not None and answer.predicted:
        text = "there is no libnccl to ask; this is what NCCL 2.28 and later do"
        return (Evidence(kind=EvidenceKind.FACT, text=text, source="predicted from settings and addresses"),)
    if library is None or answer is None:
        return ()
    source = f"libnccl {library.text}, {library.path}"
    said = [line for line in answer.said if not line.startswith("commcheck:")]
    if answer.works:
        text = f"NCCL takes {answer.interface or 'an interface'}, and the others would connect to {answer.address}"
        return (Evidence(kind=EvidenceKind.VALUE, text=text, source=source),)
    what = f"ncclGetUniqueId returned {answer.result}"
    lines = [f"{what}: {said[0]}", *said[1:3]] if said else [what]
    return tuple(Evidence(kind=EvidenceKind.VALUE, text=line, source=source) for line in lines)


PREDICTED = 0.7
"""At most, where the library was not asked: it may be of another version."""


def surely(one: Asked, confidence: float) -> float:
    """How sure a cause is that rests on what the library would do."""
    guess = one.nccl.answer is not None and one.nccl.answer.predicted
    return min(confidence, one.limit, PREDICTED if guess else 1.0)


def setting(one: Asked, name: str) -> Evidence:
    """A variable as NCCL gets it, with where it is set."""
    value = one.nccl.environment.get(name)
    text = f"{name} is not set" if value is None else f"{name}={value}"
    return Evidence(kind=EvidenceKind.FACT, text=text, source=origin(one.nccl, name))


def origin(nccl: NcclFacts, name: str) -> str:
    """The file that sets a variable, or the environment."""
    for file in nccl.files:
        for one in file.settings:
            if one.name == name and not one.hidden_by:
                return f"{file.path}, line {one.line}"
    return "environment"


def interfaces(one: Asked) -> Evidence:
    """The interfaces with their addresses, as evidence."""
    parts = []
    for name in names(one.nccl):
        mine = [a for a in one.nccl.addresses if a.interface == name and a.family != "link"]
        state = "" if any(a.running for a in one.nccl.addresses if a.interface == name) else " (down or no carrier)"
        parts.append(f"{name} {'/'.join(a.address for a in mine[:2]) or 'without address'}{state}")
    return Evidence(kind=EvidenceKind.FACT, text=f"{one.host.host} has {', '.join(parts)}", source="getifaddrs")


def names(nccl: NcclFacts) -> tuple[str, ...]:
    """The interfaces, in the kernel's order."""
    return tuple(dict.fromkeys(a.interface for a in nccl.addresses))


def better(nccl: NcclFacts, family: str = "") -> NcclAddress | None:
    """An address that other hosts may reach: running, and neither loopback nor a bridge of this host alone."""
    for one in nccl.addresses:
        local = one.address.startswith(("fe80", "::1")) or one.interface.startswith(SECOND_CHOICE)
        if one.family in WORDS and family in ("", one.family) and one.running and not local:
            return one
    return None


def named(one: Asked, found: NcclAddress | None) -> tuple[Fix, ...]:
    """To name the interface of an address."""
    if found is None:
        return ()
    value = f"={found.interface}"
    return (
        Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=f"name an interface that this host has: NCCL_SOCKET_IFNAME={value} ({found.address})",
            set={"NCCL_SOCKET_IFNAME": value},
            applies_to_ranks=one.ranks,
        ),
    )
