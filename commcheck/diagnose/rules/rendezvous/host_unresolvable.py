"""A host name has no address.

**What you see.** `The client socket has timed out ...`, the very sentence of a firewall or an absent rank 0; only a
warning far above it names the resolver's error (`gai error: -2 - Name or service not known`).

**Why it happens.** A misspelt MASTER_ADDR, a short name without its search domain, a container without the cluster's DNS,
a Kubernetes service that does not exist yet. If it is the own host name, gloo falls back to loopback and publishes that.

**How to fix.** Set MASTER_ADDR to an address (or GLOO_SOCKET_IFNAME for the own name), or make the name known.

**How to confirm.** `getent ahosts NAME` on that host prints nothing.
"""

from __future__ import annotations

from commcheck.diagnose.advice import address_of_rank_zero, interface_for
from commcheck.diagnose.view import (
    evidence,
    loopback,
    named_interface,
    names,
    published,
    several_hosts,
    started,
    world_failed,
)
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Outcome, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """The resolver refuses MASTER_ADDR, or does not answer, or does not know the own host name where gloo needs it."""
    return _master(case) or _own(case)


def _master(case: Case) -> Match | None:
    failed = {
        r.slot: p
        for r in started(case)
        for p in r.probes
        if p.kind == "name" and p.outcome in (Outcome.UNRESOLVED, Outcome.TIMED_OUT)
    }
    if not failed:
        return None
    ranks = [r for r in started(case) if r.slot in failed]
    certain = any(p.outcome is Outcome.UNRESOLVED for p in failed.values())
    name = failed[ranks[0].slot].target
    right = address_of_rank_zero(case)
    fixes = (
        [
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"use rank 0's address instead of the name: MASTER_ADDR={right}",
                set={"MASTER_ADDR": right},
                applies_to_ranks=names(ranks),
            )
        ]
        if right
        else []
    )
    fixes.append(
        Fix(
            pattern=FixPattern.NETWORK_SETTING,
            text=f"make {name} known to the resolver of that host",
            commands=(f"echo '{right or 'ADDRESS'} {name}' | sudo tee -a /etc/hosts",),
            applies_to_ranks=names(ranks),
        )
    )
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"MASTER_ADDR={name} has no address on {ranks_text(names(ranks))}",
        confidence=0.96 if certain else 0.8,
        ranks=names(ranks),
        hosts=tuple(dict.fromkeys(r.host for r in ranks)),
        evidence=tuple(
            evidence(EvidenceKind.PROBE, f"{failed[r.slot].target}: {failed[r.slot].detail}", r, "name look-up")
            for r in ranks[:8]
        ),
        fixes=tuple(fixes),
    )


def _own(case: Case) -> Match | None:
    if not several_hosts(case):
        return None
    guilty = [
        r
        for r in started(case)
        if published(r) and loopback(published(r)) and not named_interface(r) and _own_error(case, r)
    ]
    if not guilty:
        return None
    interfaces = {str(r.slot): {"GLOO_SOCKET_IFNAME": interface_for(case, r)} for r in guilty}
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text="name the interface, so that the own host name is not needed: GLOO_SOCKET_IFNAME",
        rank_set=interfaces if all(v["GLOO_SOCKET_IFNAME"] for v in interfaces.values()) else {},
        applies_to_ranks=names(guilty),
    )
    return Match(
        symptom=Symptom.SETUP_FAILURE if world_failed(case) else Symptom.SETUP_UNEXPECTED_PROTOCOL,
        title=f"The own host name of {ranks_text(names(guilty))} has no address, so gloo publishes loopback",
        confidence=0.95,
        ranks=names(guilty),
        hosts=tuple(dict.fromkeys(r.host for r in guilty)),
        evidence=tuple(
            evidence(EvidenceKind.FACT, f"{_own_error(case, r)}; it publishes {published(r)}", r, "name look-up")
            for r in guilty[:8]
        ),
        fixes=(fix,),
    )


def _own_error(case: Case, rank: RankRecord) -> str:
    facts = case.host(rank.host)
    if facts is None:
        return ""
    return next(
        (f"{x.name}: {x.error}" for x in facts.lookups if x.kind == "forward" and x.name == facts.hostname and x.error),
        "",
    )


RULE = Rule(
    cause="host-unresolvable",
    code="CC114",
    title="A host name has no address",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "use an address, or name the interface"),
        (FixPattern.NETWORK_SETTING, "make the name known to the resolver"),
    ),
    match=match,
    explains=(
        "rank-missing",
        "port-refused",
        "port-dropped",
        "data-ports-refused",
        "data-ports-dropped",
        "one-way-blocked",
        "reverse-dns-slow",
        "interface-differs-between-ranks",
        "env-differs-between-ranks",
        "interface-unroutable",
        "duplicate-address",
        "address-order-dependent",
        "partition",
        "wrong-master-host",
    ),
    needs=("ranks",),
)
