"""The host has no ephemeral port left for another connection.

**What you see.** `Cannot assign requested address` (EADDRNOTAVAIL) from connect or bind, more often the larger the world.

**Why it happens.** net.ipv4.ip_local_port_range is narrow, or thousands of connections are in TIME_WAIT.

**How to fix.** Widen the range.

**How to confirm.** `sysctl net.ipv4.ip_local_port_range; ss -s`
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, said, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

NARROW = 1024
"""Ports in the range under which it is named as the likely reason; the kernel's default has 28,232."""
WORDS = ("Cannot assign requested address", "EADDRNOTAVAIL", "Address already in use")


def match(case: Case) -> Match | None:
    """Ranks say that no address or port is to be had, and their host's range is narrow."""
    hit = []
    for r in started(case):
        facts = case.host(r.host)
        span = facts.port_range[1] - facts.port_range[0] + 1 if facts is not None and facts.port_range else None
        line = said(r, *WORDS)
        refused = next((p for p in r.probes if p.kind == "listen" or p.errno == "EADDRNOTAVAIL"), None)
        if span is not None and span < NARROW and (line or refused):
            hit.append(
                (r, line.strip()[:300] if line else f"{refused.target}: {refused.detail}" if refused else "", facts)
            )
    if not hit:
        return None
    ranks = names(r for r, _, _ in hit)
    seen = [evidence(EvidenceKind.LOG, text, r, "stderr") for r, text, _ in hit[:4]]
    low, high = hit[0][2].port_range if hit[0][2] is not None and hit[0][2].port_range else (0, 0)
    seen.append(
        evidence(
            EvidenceKind.FACT,
            f"net.ipv4.ip_local_port_range is {low} {high}: {high - low + 1} ports",
            hit[0][0],
            "sysctl",
        )
    )
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"The host of {ranks_text(ranks)} has only {high - low + 1} ephemeral ports, and none is left",
        confidence=0.9,
        ranks=ranks,
        hosts=tuple(dict.fromkeys(r.host for r, _, _ in hit)),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="widen the range of ephemeral ports",
                commands=("sudo sysctl -w net.ipv4.ip_local_port_range='32768 60999'",),
                applies_to_ranks=ranks,
            ),
        ),
    )


RULE = Rule(
    cause="port-range-exhausted",
    code="CC167",
    title="No ephemeral port is left",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=((FixPattern.NETWORK_SETTING, "widen net.ipv4.ip_local_port_range"),),
    match=match,
    explains=(
        "nccl-address-unreachable",
        "host-resolves-to-loopback",
        "port-in-use",
        "rank-missing",
        "route-missing",
        "data-ports-refused",
        "one-way-blocked",
    ),
    needs=("ranks", "hosts"),
)
