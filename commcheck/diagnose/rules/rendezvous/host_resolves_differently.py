"""The same MASTER_ADDR is another address on another host.

**What you see.** Some ranks meet, others time out on a name that works elsewhere.

**Why it happens.** A stale entry in one host's /etc/hosts, or split DNS.

**How to fix.** Repair the entry, or set MASTER_ADDR to rank 0's address itself.

**How to confirm.** `getent ahosts NAME` on every host.
"""

from __future__ import annotations

from commcheck.diagnose.mastering import mended, misdirected, where
from commcheck.diagnose.view import is_literal, loopback, names, rank_zero
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A name that rank 0's own host resolves rightly, and another host to somebody else (loopback has its own rule)."""
    zero = rank_zero(case)
    if zero is None:
        return None
    told = zero.environment.get("MASTER_ADDR", "")
    found = misdirected(case)
    if not told or is_literal(told) or any(m.rank.slot == zero.slot for m in found):
        return None
    mine = tuple(m for m in found if m.rank.environment.get("MASTER_ADDR") == told and not loopback(m.address))
    if not mine:
        return None
    command = (
        f"getent ahosts {told}   # then repair /etc/hosts or the DNS record on {', '.join({m.rank.host for m in mine})}"
    )
    repair = Fix(
        pattern=FixPattern.NETWORK_SETTING,
        text=f"repair the entry of {told} on the hosts that have it wrong",
        commands=(command,),
        applies_to_ranks=names(m.rank for m in mine),
    )
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"{told} is {mine[0].address} on {ranks_text(names(m.rank for m in mine))}, which is not rank 0's host",
        confidence=0.95,
        ranks=names(m.rank for m in mine),
        hosts=tuple(dict.fromkeys(m.rank.host for m in mine)),
        evidence=where(case, mine),
        fixes=(*mended(case, mine), repair),
    )


RULE = Rule(
    cause="host-resolves-differently",
    code="CC112",
    title="The store's host name is another address on another host",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    fixes=(
        (FixPattern.NETWORK_SETTING, "repair /etc/hosts or DNS"),
        (FixPattern.COMMUNICATION_CONFIGURATION, "set MASTER_ADDR to the address"),
    ),
    match=match,
    explains=(
        "port-refused",
        "port-dropped",
        "neighbour-silent",
        "rank-missing",
        "wrong-service-on-port",
        "route-missing",
        "wrong-master-host",
    ),
    needs=("ranks", "hosts"),
)
