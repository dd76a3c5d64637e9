"""Which addresses each rank's gloo offers, and whether the rank that has to can connect to each.

Gloo's rules, from its source and from worlds:

* GLOO_SOCKET_IFNAME: exact names between commas; of each the first address, IPv4 before IPv6. One mesh per name: every
  rank must name as many, and the first of one rank meets the first of another.
* Without it: the first address of the own host name that can be bound to; where the name has none, the loopback.
* Of two ranks, the one with the higher address connects to the other (IPv4 by its bytes; equal addresses: by port). Only
  that direction has to work, and an address that nobody has to connect to may be nonsense.
* Both must have the same address family."""

from __future__ import annotations

from itertools import combinations

from msgspec.structs import replace

from commcheck.model.case import HostFacts
from commcheck.model.plan import RankPlan
from commcheck.model.taxonomy import Symptom
from commcheck.predict.addresses import first_address, interface, loopback, on_link, own, parse, resolved, routed
from commcheck.predict.model import Outlook, Part, Prediction, Ranks, fails, unknown

LOOPBACK = "127.0.0.1"


def offers(facts: HostFacts, rank: RankPlan) -> tuple[str, ...] | Prediction:
    """The addresses that a rank's gloo listens on and tells the others, one per mesh; or why it does not come to that."""
    named = rank.environment.get("GLOO_SOCKET_IFNAME", "")
    if not named:
        return (_of_host_name(facts),)
    made = []
    for name in named.removesuffix(",").split(","):  # an empty name counts, but at the end
        found = interface(facts, name)
        if found is None:
            why = f"there is no interface {name!r} on {facts.host or 'this host'}"
            return fails("interface-missing", Symptom.SETUP_FAILURE, why, (rank.slot,))
        if not found.addresses:
            why = f"{name} has no address"
            return fails("interface-without-address", Symptom.SETUP_FAILURE, why, (rank.slot,))
        made.append(first_address(found))
    return tuple(made)


def _of_host_name(facts: HostFacts) -> str:
    for address in resolved(facts, facts.hostname) or ():
        if own(facts, address):
            return address
    return LOOPBACK


def mesh(ranks: Ranks) -> Prediction | None:
    """Every pair of ranks, in every mesh."""
    if len(ranks.plan.ranks) == 1 and not ranks.plan.ranks[0].environment.get("GLOO_SOCKET_IFNAME"):
        return None
    told: dict[int, tuple[str, ...]] = {}
    for rank in ranks.plan.ranks:
        facts = ranks.host(rank)
        if facts is None:
            return unknown(f"nothing is known about the host of rank {rank.slot}")
        made = offers(facts, rank)
        if isinstance(made, Prediction):
            return made
        told[rank.slot] = made
    if len({len(made) for made in told.values()}) > 1:
        why = "the ranks name different numbers of interfaces: each is a mesh of its own, which all must join"
        return fails("env-differs-between-ranks", Symptom.SETUP_HANG_TIMEOUT, why)
    doubt: Prediction | None = None
    for one, other in combinations(ranks.plan.ranks, 2):
        for mine, theirs in zip(told[one.slot], told[other.slot], strict=True):
            found = _pair(ranks, (one, mine), (other, theirs))
            if found is not None and found.outlook is Outlook.FAILS:
                return found
            doubt = doubt or found
    return doubt


def _pair(ranks: Ranks, one: tuple[RankPlan, str], other: tuple[RankPlan, str]) -> Prediction | None:
    mine, theirs = parse(one[1]), parse(other[1])
    if mine is None or theirs is None:
        return unknown(f"{one[1]} or {other[1]} is no address")
    if mine.version != theirs.version:
        why = f"rank {one[0].slot} offers IPv{mine.version}, rank {other[0].slot} IPv{theirs.version}"
        return fails("address-family-mismatch", Symptom.SETUP_FAILURE, why, (one[0].slot, other[0].slot))
    if ranks.together(one[0], other[0]):
        return None  # every address of a host can be reached on it
    # Compared as the library does: byte by byte.
    above, below = (one, other) if mine.packed >= theirs.packed else (other, one)
    if mine == theirs:
        why = f"ranks {one[0].slot} and {other[0].slot} offer the same address, {one[1]}, on different hosts"
        cause = "host-resolves-to-loopback" if _by_name(one[0]) else "interface-loopback"
        return fails(cause if loopback(one[1]) else "interface-unroutable", Symptom.SETUP_FAILURE, why)
    stopped = _connects(ranks, above[0], below)
    if stopped is not None:
        return stopped
    idle = _connects(ranks, below[0], above)
    if idle is not None and idle.outlook is Outlook.FAILS:
        why = f"by luck: {idle.reason}, but need not connect, because its own address is the lower one"
        return replace(idle, outlook=Outlook.FORMS, reason=why.replace("has to connect", "cannot connect", 1))
    return None


def _by_name(rank: RankPlan) -> bool:
    return not rank.environment.get("GLOO_SOCKET_IFNAME")


def _connects(ranks: Ranks, source: RankPlan, target: tuple[RankPlan, str]) -> Prediction | None:
    """Whether `source` gets through to the address that the other rank offers, on another host."""
    facts, home, (rank, address) = ranks.host(source), ranks.host(target[0]), target
    assert facts is not None
    assert home is not None
    if loopback(address):
        why = f"rank {source.slot} has to connect to rank {rank.slot} on another host, which offers {address}"
        cause = "host-resolves-to-loopback" if _by_name(rank) else "interface-loopback"
        return fails(cause, Symptom.SETUP_FAILURE, why, (rank.slot,))
    if own(facts, address):
        why = f"{address}, which rank {rank.slot} offers, is also an address of rank {source.slot}'s own host"
        return fails("interface-unroutable", Symptom.SETUP_FAILURE, why, (rank.slot,))
    down = [i.name for i in home.interfaces if not i.up and any(a.address == address for a in i.addresses)]
    if down:
        return fails(
            "interface-down", Symptom.SETUP_FAILURE, f"{down[0]} of rank {rank.slot}'s host is down", (rank.slot,)
        )
    if on_link(facts, address) is not None:
        return None
    if routed(facts, address):
        return unknown(f"whether the router carries rank {source.slot} to {address}")
    why = f"the host of rank {source.slot} has no way to {address}, which rank {rank.slot} offers"
    return fails("interface-unroutable", Symptom.SETUP_FAILURE, why, (rank.slot,))


PARTS: tuple[Part, ...] = (mesh,)
