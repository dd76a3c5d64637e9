"""The interface that each rank was told to use, against the interfaces that its host has. Shared by the rules. Pure."""

from __future__ import annotations

from commcheck.diagnose.advice import interface_for
from commcheck.diagnose.view import (
    by_nccl,
    evidence,
    interface_of,
    master_addresses,
    master_probe,
    named_interface,
    names,
    networks,
    rank_zero,
    said,
    several_hosts,
    started,
)
from commcheck.model.base import Value, ranks_text, remembered
from commcheck.model.case import Case, HostFacts, Interface, Origin, Outcome, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.taxonomy import FixPattern, Symptom


class Choice(Value, frozen=True):
    """A rank's GLOO_SOCKET_IFNAME (its first name), and what the host has of that name."""

    rank: RankRecord
    name: str
    facts: HostFacts
    interface: Interface | None


def choices(case: Case) -> tuple[Choice, ...]:
    """All ranks that name an interface and whose host's interfaces are known."""
    found = []
    for rank in started(case) or _this_process(case):
        name, facts = named_interface(rank), case.host(rank.host)
        if name and facts is not None and facts.interfaces and "gloo" in (rank.backend or "gloo"):
            interface = next((i for i in facts.interfaces if i.name == name), None)
            found.append(Choice(rank=rank, name=name, facts=facts, interface=interface))
    return tuple(found)


@remembered
def unnamed(case: Case) -> tuple[Choice, ...]:
    """For ranks that name none, in a world of several hosts: the first real interface of a host that has no usable network
    at all; of one that has no way to the store, the interface on which rank 0's host has the store's address. `name` is
    the interface's."""
    found = []
    for rank in started(case) if several_hosts(case) else ():
        facts = case.host(rank.host)
        if named_interface(rank) or facts is None or not facts.interfaces:
            continue
        named = _of_the_store(case, rank) if networks(facts) else ""
        if networks(facts) and not named:
            continue
        real = next((i for i in facts.interfaces if not i.loopback and named in ("", i.name)), None)
        if real is not None:
            found.append(Choice(rank=rank, name=real.name, facts=facts, interface=real))
    return tuple(found)


def _of_the_store(case: Case, rank: RankRecord) -> str:
    """The interface of rank 0's host that has the store's address, where this rank's host has no way to it."""
    zero, probe = rank_zero(case), master_probe(rank)
    if zero is None or probe is None or probe.outcome is not Outcome.UNREACHABLE:
        return ""
    held = next((interface_of(case, zero, a) for a in master_addresses(rank)), None)
    return held.name if held is not None else ""


def _this_process(case: Case) -> tuple[RankRecord, ...]:
    """For settings without a world: this process, as if it were to become a rank."""
    if case.origin is not Origin.STATIC or not case.hosts:
        return ()
    return (RankRecord(slot=0, rank=None, world_size=None, host=case.hosts[0].host, environment=case.environment),)


def mended(case: Case, ranks: tuple[RankRecord, ...]) -> tuple[Fix, ...]:
    """The setting that names the interface, for each of `ranks`: one in a network that all hosts share."""
    nccl = bool(ranks) and all(by_nccl(r) for r in ranks)
    if nccl and not several_hosts(case):
        return ()
    variable, exactly = ("NCCL_SOCKET_IFNAME", "=") if nccl else ("GLOO_SOCKET_IFNAME", "")
    found = {str(r.slot): interface_for(case, r) for r in ranks}
    if not found or not all(found.values()):
        return ()
    by_slot = {slot: exactly + name for slot, name in found.items()}
    shown = ", ".join(sorted(set(by_slot.values())))
    text = f"name an interface in the network that the hosts share: {variable}={shown}"
    if shown == "lo":
        text = f"name an interface that is there: {variable}=lo (loopback: right while all ranks run on one host)"
    if case.origin is Origin.STATIC:  # no rank yet: the setting is for whatever will be started from this shell
        text = f"name an interface that this host has: {variable}={shown}"
        return (Fix(pattern=FixPattern.COMMUNICATION_CONFIGURATION, text=text, set={variable: shown}),)
    return (
        Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=text,
            rank_set={slot: {variable: name} for slot, name in by_slot.items()},
            applies_to_ranks=names(ranks),
        ),
    )


def matched(
    case: Case,
    wrong: tuple[Choice, ...],
    title: str,
    *,
    symptom: Symptom = Symptom.SETUP_FAILURE,
    confidence: float = 0.96,
) -> Match:
    """The match of a wrong choice, with what the host has instead and what gloo said."""
    seen: list[Evidence] = []
    static = case.origin is Origin.STATIC
    for c in wrong[:6]:
        have = ", ".join(f"{i.name}{'' if i.up else ' (down)'}" for i in c.facts.interfaces)
        told = c.rank.environment.get("GLOO_SOCKET_IFNAME")
        text = (
            f"GLOO_SOCKET_IFNAME={told}; the host has {have}" if told else f"the host has {have}, and no usable address"
        )
        seen.append(evidence(EvidenceKind.FACT, text, None if static else c.rank, "interfaces"))
        line = said(c.rank, "Unable to find address for", "No suitable", "Unable to find interface", "ifa != nullptr")
        if line:
            seen.append(evidence(EvidenceKind.LOG, line.strip()[:300], c.rank, "stderr"))
    return Match(
        symptom=symptom,
        title=title,
        confidence=confidence,
        ranks=() if static else names(c.rank for c in wrong),
        hosts=tuple(dict.fromkeys(c.rank.host for c in wrong)),
        evidence=tuple(seen),
        fixes=mended(case, tuple(c.rank for c in wrong)),
    )


def shown(wrong: tuple[Choice, ...]) -> str:
    """Whose hosts some choices concern, for a title."""
    if all(c.rank.pid is None and c.rank.rank is None for c in wrong):
        return "this host"
    return f"the host of {ranks_text(names(c.rank for c in wrong))}"


FOLLOWS_A_CHOICE = (
    "env-differs-between-ranks",
    "data-ports-refused",
    "data-ports-dropped",
    "one-way-blocked",
    "rank-exited",
    "interface-differs-between-ranks",
    "address-family-mismatch",
    "host-resolves-to-loopback",
    "address-order-dependent",
    "route-missing",
    "partition",
)
"""What a wrongly chosen interface makes of everything else."""
FOLLOWS_NO_NETWORK = (
    *FOLLOWS_A_CHOICE,
    "port-dropped",
    "port-refused",
    "rank-missing",
    "host-unresolvable",
    "wrong-master-host",
    "neighbour-silent",
)
"""What a host without a usable network makes of everything else."""
