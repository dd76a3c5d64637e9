"""The store's port is open, but what ranks send each other on other ports is dropped.

**What you see.** Everybody meets at the store, then `connectFullMesh failed with ... Connect timeout`, many times the
timeout later and without an address.

**Why it happens.** A firewall or security group opens MASTER_PORT alone. gloo and NCCL connect on ephemeral ports.

**How to fix.** Open all TCP ports between the hosts of the job (or the range of net.ipv4.ip_local_port_range).

**How to confirm.** `nc -l 40000` on one host, `nc -vz -w2 HOST 40000` on the other: no answer.
"""

from __future__ import annotations

from commcheck.diagnose.linking import blamed, blocked, hosts, links, settled, shown, symptom, unanswerable
from commcheck.model.case import Case, Outcome
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Own connections on ephemeral ports get no answer, in both directions of a pair."""
    found = blocked(case, Outcome.TIMED_OUT)
    lost = unanswerable(case, found.both_ways)
    directions = tuple(d for d in found.both_ways if d not in lost)
    if not directions:
        return None
    ranks = blamed(found, directions)
    return Match(
        symptom=symptom(case, Symptom.SETUP_HANG_TIMEOUT),
        title=f"Data ports are dropped between ranks {_pairs(directions)}; the store's port is open",
        confidence=settled(case, 0.9),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, directions),
        evidence=shown(case, found, directions),
        fixes=opened(case, ranks),
    )


def _pairs(directions: tuple[tuple[int, int], ...]) -> str:
    pairs = sorted({tuple(sorted(d)) for d in directions})
    return ", ".join(f"{a} and {b}" for a, b in pairs[:6]) + (", ..." if len(pairs) > 6 else "")


def opened(case: Case, ranks: tuple[int, ...]) -> tuple[Fix, ...]:
    """Commands that open the ephemeral ports on the hosts of `ranks`."""
    ranges = {h.port_range for h in case.hosts if h.port_range}
    low, high = next(iter(ranges)) if len(ranges) == 1 else (1024, 65535)
    command = f"sudo nft insert rule inet filter input tcp dport {low}-{high} accept"
    return (
        Fix(
            pattern=FixPattern.NETWORK_SETTING,
            text=f"open TCP ports {low} to {high} between the hosts of the job",
            commands=(f"{command}   # or: sudo iptables -I INPUT -p tcp --dport {low}:{high} -j ACCEPT",),
            applies_to_ranks=ranks,
        ),
    )


RULE = Rule(
    cause="data-ports-dropped",
    code="CC160",
    title="Data ports are dropped while the store's port is open",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.PREP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=((FixPattern.NETWORK_SETTING, "open the ephemeral ports between the hosts"),),
    match=match,
    explains=("address-order-dependent", "nccl-address-unreachable"),
    needs=("ranks",),
)
