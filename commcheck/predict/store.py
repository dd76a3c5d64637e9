"""Whether all ranks meet at the store: one port that is one, a host that all find, an address that leads to rank 0.

PyTorch's store listens on every address of rank 0's host, IPv6 and IPv4 alike; so only the way to it matters. Each rank
that is not 0 resolves the name by itself, and tries all addresses that it gets."""

from __future__ import annotations

from commcheck.model.case import HostFacts
from commcheck.model.plan import RankPlan
from commcheck.model.taxonomy import Symptom
from commcheck.predict.addresses import on_link, own, parse, resolved, routed
from commcheck.predict.model import Part, Prediction, Ranks, fails, slow, unknown
from commcheck.predict.settings import number_of

HIGHEST_PORT = 65535
SHORT = 3.0
"""Seconds of a store's timeout below which nothing is promised: processes start one after the other."""
SLOW_LOOKUP = 1.0
"""Seconds for the look-up of a name that a person would notice."""


def _zero(ranks: Ranks) -> RankPlan | None:
    return next((r for r in ranks.plan.ranks if r.environment.get("RANK") == "0"), None)


def _met_by_variables(ranks: Ranks) -> bool:
    return all(r.init_method == "env://" for r in ranks.plan.ranks)


def methods(ranks: Ranks) -> Prediction | None:
    """One init method for all."""
    given = sorted({r.init_method for r in ranks.plan.ranks})
    schemes = sorted({g.partition("://")[0] for g in given})
    if len(schemes) > 1:
        return fails("init-method-mismatch", Symptom.SETUP_HANG_TIMEOUT, f"init methods differ: {', '.join(given)}")
    if schemes == ["file"] and len(given) > 1:
        return fails("init-method-mismatch", Symptom.SETUP_HANG_TIMEOUT, "the files of the file:// method differ")
    if schemes == ["file"] and ranks.several_hosts:
        return unknown("whether all hosts see the same file, and lock it, is not looked at")
    return None


def ports(ranks: Ranks) -> Prediction | None:
    """MASTER_PORT is one number from 1 to 65535 on all ranks, and nobody else listens there."""
    if not _met_by_variables(ranks):
        return None
    given = {r.slot: r.environment.get("MASTER_PORT", "") for r in ranks.plan.ranks}
    for slot, text in given.items():
        number = number_of(text)
        if number is None:
            return fails("env-malformed", Symptom.SETUP_FAILURE, f"MASTER_PORT={text} is no number", (slot,))
        if not 0 <= number <= HIGHEST_PORT:
            return fails("port-out-of-range", Symptom.SETUP_FAILURE, f"MASTER_PORT={text} is no port", (slot,))
    if len(set(given.values())) > 1:
        return fails("port-mismatch", Symptom.SETUP_HANG_TIMEOUT, "the ranks were told different ports")
    zero = _zero(ranks)
    facts = ranks.host(zero) if zero is not None else None
    text = given[zero.slot] if zero is not None else ""
    if zero is not None and text == "0" and len(ranks.plan.ranks) > 1:
        why = "with port 0 the store chooses one that the other ranks are not told"
        return fails("port-out-of-range", Symptom.SETUP_HANG_TIMEOUT, why)
    taken = [s for s in facts.listeners if str(s.port) == text] if facts is not None else []
    if taken and not taken[0].is_store:
        who = taken[0].command or "another program"
        return fails("port-in-use", Symptom.SETUP_FAILURE, f"{who} listens on port {text} of rank 0's host", (0,))
    return None


def names(ranks: Ranks) -> Prediction | None:
    """MASTER_ADDR means something on every rank's host, and leads to rank 0's."""
    zero = _zero(ranks)
    if not _met_by_variables(ranks) or zero is None:
        return None
    home = ranks.host(zero)
    for rank in ranks.plan.ranks:
        name, facts = rank.environment.get("MASTER_ADDR", ""), ranks.host(rank)
        if facts is None or home is None:
            return unknown(f"nothing is known about the host of rank {rank.slot}")
        found = resolved(facts, name)
        if found is None:
            return unknown(f"what {name} means on the host of rank {rank.slot} was not asked")
        if not found:
            why = f"{name} has no address on the host of rank {rank.slot}"
            return fails("host-unresolvable", Symptom.SETUP_FAILURE, why, (rank.slot,))
        if rank is zero:
            continue
        wrong = _astray(ranks, rank, zero, found)
        if wrong is not None:
            return wrong
    return None


def _astray(ranks: Ranks, rank: RankPlan, zero: RankPlan, found: tuple[str, ...]) -> Prediction | None:
    """Where the addresses that a rank found for the store lead, when not to rank 0's host."""
    facts, home = ranks.host(rank), ranks.host(zero)
    assert facts is not None
    assert home is not None
    if ranks.together(rank, zero):
        if any(own(facts, a) for a in found):
            return None
        why = f"{found[0]} is no address of the host of ranks {zero.slot} and {rank.slot}"
        return fails("wrong-master-host", Symptom.SETUP_HANG_TIMEOUT, why, (rank.slot,))
    if all(_only_here(facts, a) for a in found):
        why = f"on the host of rank {rank.slot}, {found[0]} is that host itself, and rank 0 is elsewhere"
        return fails("host-resolves-to-loopback", Symptom.SETUP_HANG_TIMEOUT, why, (rank.slot,))
    if not any(own(home, a) and not _only_here(facts, a) for a in found):
        why = f"{found[0]} is no address of rank 0's host"
        return fails("wrong-master-host", Symptom.SETUP_HANG_TIMEOUT, why, (rank.slot,))
    ways = [a for a in found if own(home, a) and _way(facts, a)]
    if not ways:
        why = f"the host of rank {rank.slot} has no way to {found[0]}"
        return fails("route-missing", Symptom.SETUP_FAILURE, why, (rank.slot,))
    return None if any(on_link(facts, a) for a in ways) else unknown(f"what lies between {rank.slot} and {ways[0]}")


def _only_here(facts: HostFacts, address: str) -> bool:
    """The address leads a process on this host to this host, and nowhere else."""
    parsed = parse(address)
    return parsed is not None and (parsed.is_loopback or parsed.is_unspecified or own(facts, address))


def _way(facts: HostFacts, address: str) -> bool:
    return on_link(facts, address) is not None or routed(facts, address)


def patience(ranks: Ranks) -> Prediction | None:
    """A timeout that is long enough; names that are found soon."""
    for rank in ranks.plan.ranks:
        if rank.store_seconds is not None and rank.store_seconds < SHORT:
            return unknown(f"with a timeout of {rank.store_seconds:g} s it depends on how fast the processes start")
    for facts in ranks.facts.values():
        for look in facts.lookups:
            if look.seconds > SLOW_LOOKUP:
                return slow(f"on {facts.host}, the look-up of {look.name} takes {look.seconds:.1f} s or more")
    return None


PARTS: tuple[Part, ...] = (methods, ports, names, patience)
