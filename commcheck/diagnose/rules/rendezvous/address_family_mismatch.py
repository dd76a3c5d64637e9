"""One side speaks IPv4, the other IPv6.

**What you see.** `Address family for hostname not supported`, `connectFullMesh failed`, or the endless retry of a name
whose first address cannot be reached.

**Why it happens.** The chosen interface has only an address of the other family, MASTER_ADDR is a literal of a family
that a host does not have, or AAAA records exist without IPv6 routes.

**How to fix.** Choose interfaces and addresses of one family on all ranks.

**How to confirm.** `ip -br addr` on each host for the interface that is used.
"""

from __future__ import annotations

from commcheck.diagnose.advice import address_of_rank_zero, interface_for
from commcheck.diagnose.view import (
    addresses,
    evidence,
    loopback,
    master_addresses,
    names,
    parse,
    published,
    rank_zero,
    started,
)
from commcheck.model.base import ranks_text, sentence
from commcheck.model.case import Case, Outcome, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Published addresses of two families, or a store address of a family that the rank's host does not have."""
    return _data(case) or _store(case)


def _version(address: str) -> int:
    parsed = parse(address)
    return 0 if parsed is None else parsed.version


def _data(case: Case) -> Match | None:
    telling = [r for r in started(case) if published(r)]
    versions = {r.slot: _version(published(r)) for r in telling}
    if len(set(versions.values())) < 2:
        return None
    zero = rank_zero(case)
    right = versions[zero.slot] if zero is not None and zero.slot in versions else max(versions.values())
    wrong = [r for r in telling if versions[r.slot] != right]
    interfaces = {str(r.slot): {"GLOO_SOCKET_IFNAME": interface_for(case, r)} for r in wrong}
    fixes: tuple[Fix, ...] = ()
    if all(v["GLOO_SOCKET_IFNAME"] for v in interfaces.values()):
        fixes = (
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text="choose an interface with an address of the family that the others use",
                rank_set=interfaces,
                applies_to_ranks=names(wrong),
            ),
        )
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=sentence(names(wrong), f"publishes an IPv{versions[wrong[0].slot]} address, the others IPv{right}"),
        confidence=0.93,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(evidence(EvidenceKind.FACT, f"publishes {published(r)}", r, "store") for r in telling[:8]),
        fixes=fixes,
    )


def _store(case: Case) -> Match | None:
    wrong = [r for r in started(case) if _lacks_family(case, r)]
    if not wrong:
        return None
    right = address_of_rank_zero(case)
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"use an address of a family that every host has: MASTER_ADDR={right}",
        set={"MASTER_ADDR": right},
        applies_to_ranks=names(wrong),
    )
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"The store's address {master_addresses(wrong[0])[0]} is of a family that the host of {ranks_text(names(wrong))} does not have",
        confidence=0.9,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(
            evidence(
                EvidenceKind.FACT,
                f"MASTER_ADDR is {master_addresses(r)[0]}; own addresses: {', '.join(_real(case, r)) or 'none'}",
                r,
            )
            for r in wrong[:6]
        ),
        fixes=(fix,) if right else (),
    )


def _real(case: Case, rank: RankRecord) -> list[str]:
    return sorted(a for a in addresses(case.host(rank.host)) if not loopback(a) and not a.startswith("fe80"))


def _lacks_family(case: Case, rank: RankRecord) -> bool:
    """Every address of the store is of a family in which the host has no address, and the attempt found no way."""
    tried = master_addresses(rank)
    own = {_version(a) for a in _real(case, rank)}
    probe = next((p for p in reversed(rank.probes) if p.kind == "master"), None)
    if (
        not tried
        or not own
        or any(loopback(a) for a in tried)
        or probe is None
        or probe.outcome is not Outcome.UNREACHABLE
    ):
        return False
    return not {_version(a) for a in tried} & own


RULE = Rule(
    cause="address-family-mismatch",
    code="CC136",
    title="One side speaks IPv4, the other IPv6",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "choose addresses of one family on all ranks"),),
    match=match,
    explains=(
        "route-missing",
        "rank-missing",
        "data-ports-refused",
        "data-ports-dropped",
        "interface-unroutable",
        "interface-differs-between-ranks",
        "one-way-blocked",
        "partition",
    ),
    needs=("ranks", "hosts"),
)
