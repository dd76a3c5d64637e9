"""MASTER_ADDR names a host on which rank 0 does not run.

**What you see.** Every other rank's client socket times out, or is refused; rank 0 may wait for itself.

**Why it happens.** MASTER_ADDR was taken from another list than the ranks (the first of an unsorted host list, an old
allocation, the login node).

**How to fix.** Set MASTER_ADDR to the host where rank 0 runs; under Slurm, the first of `scontrol show hostnames`.

**How to confirm.** `ip addr` on rank 0's host shows none of the addresses that MASTER_ADDR stands for.
"""

from __future__ import annotations

from commcheck.diagnose.mastering import mended, misdirected, where
from commcheck.diagnose.view import is_literal, loopback, names, rank_zero
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A misdirected rank whose MASTER_ADDR is an address, or a name that all ranks resolve to the same wrong host."""
    found = misdirected(case)
    differ = len({m.rank.environment.get("MASTER_ADDR") for m in found}) > 1
    zero = rank_zero(case)
    told = zero.environment.get("MASTER_ADDR", "") if zero else ""
    mine = tuple(
        m
        for m in found
        if is_literal(m.rank.environment.get("MASTER_ADDR", ""))
        or differ
        or m.rank.environment.get("MASTER_ADDR") != told
        or (zero is not None and any(z.rank.slot == zero.slot for z in found) and not loopback(m.address))
    )
    if not mine:
        return None
    addresses = ", ".join(sorted({m.address for m in mine}))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"MASTER_ADDR leads {ranks_text(names(m.rank for m in mine))} to {addresses}, where rank 0 is not",
        confidence=0.93,
        ranks=names(m.rank for m in mine),
        hosts=tuple(dict.fromkeys(m.rank.host for m in mine)),
        evidence=where(case, mine),
        fixes=mended(case, mine),
    )


RULE = Rule(
    cause="wrong-master-host",
    code="CC111",
    title="MASTER_ADDR names a host where rank 0 does not run",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "set MASTER_ADDR to the host where rank 0 runs"),),
    match=match,
    explains=(
        "port-refused",
        "port-dropped",
        "neighbour-silent",
        "rank-missing",
        "env-conflict",
        "wrong-service-on-port",
        "env-differs-between-ranks",
        "host-unresolvable",
        "route-missing",
        "address-family-mismatch",
    ),
    needs=("ranks", "hosts"),
)
