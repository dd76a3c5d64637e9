"""Where each rank looks for the store, against where rank 0 is. Shared by the rules about the master's host. Pure."""

from __future__ import annotations

from commcheck.diagnose.advice import address_of_rank_zero
from commcheck.diagnose.view import addresses, evidence, loopback, master_addresses, names, parse, rank_zero, started
from commcheck.model.base import Value
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix
from commcheck.model.taxonomy import FixPattern


class Misdirected(Value, frozen=True):
    """A rank that looks for the store where rank 0 is not. `address`: the first that it tries."""

    rank: RankRecord
    address: str


def misdirected(case: Case) -> tuple[Misdirected, ...]:
    """The ranks whose first address for MASTER_ADDR belongs to another host than rank 0's."""
    zero = rank_zero(case)
    if zero is None or not addresses(case.host(zero.host)):
        return ()
    home = addresses(case.host(zero.host))
    found = []
    for rank in started(case):
        tried = tuple(_as_ipv4(a) for a in master_addresses(rank))
        if not tried or rank.init_method != "env://":
            continue
        # A store that listens on all addresses is found under any of the host's own; the resolver's later addresses
        # are tried too, so that one right one among them is enough.
        right = any(a.partition("%")[0] in home and (not loopback(a) or rank.host == zero.host) for a in tried)
        local = rank.host == zero.host and all(loopback(a) or _any_address(a) for a in tried)
        if not right and not local:
            found.append(Misdirected(rank=rank, address=tried[0]))
    return tuple(found)


def _as_ipv4(address: str) -> str:
    """An IPv4 address that is written as IPv6, as IPv4."""
    return address.removeprefix("::ffff:") if "." in address else address


def _any_address(address: str) -> bool:
    """0.0.0.0 or ::, which leads a connecting process to its own host."""
    parsed = parse(address)
    return parsed is not None and parsed.is_unspecified


def where(case: Case, found: tuple[Misdirected, ...]) -> tuple[Evidence, ...]:
    """What each of them was told and took it to be, beside where rank 0 is."""
    seen = []
    for m in found[:8]:
        name = m.rank.environment.get("MASTER_ADDR", "")
        text = f"MASTER_ADDR={name}" + ("" if name == m.address else f" is {m.address} here")
        seen.append(evidence(EvidenceKind.PROBE, text, m.rank, "name look-up"))
    zero = rank_zero(case)
    if zero is not None:
        home = sorted(a for a in addresses(case.host(zero.host)) if not loopback(a) and not a.startswith("fe80"))
        text = f"rank 0 is on host {zero.host or 'here'}, whose addresses are {', '.join(home) or 'loopback alone'}"
        seen.append(evidence(EvidenceKind.FACT, text, zero, "interfaces"))
    return tuple(seen)


def mended(case: Case, found: tuple[Misdirected, ...]) -> tuple[Fix, ...]:
    """Point them to an address of rank 0's host."""
    right = address_of_rank_zero(case)
    if not right:
        return ()
    return (
        Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=f"point to rank 0's host by its address: MASTER_ADDR={right}",
            set={"MASTER_ADDR": right},
            applies_to_ranks=names(m.rank for m in found),
        ),
    )
