"""Asking for the name of an address takes seconds, and PyTorch's store asks.

**What you see.** The world forms, but seconds late, and later with every connection attempt that had to be repeated;
a warning `The hostname of the client socket cannot be retrieved. err=-3`.

**Why it happens.** The resolver's server does not answer for the cluster's addresses (no reverse zone, an unreachable
server), and glibc waits 5 s per try (resolv.conf(5)). An answer "no such name" is quick and harmless.

**How to fix.** Put the hosts into /etc/hosts, or shorten the resolver's patience with RES_OPTIONS.

**How to confirm.** `time getent hosts ADDRESS` takes seconds.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, several_hosts, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Origin, Outcome
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A rank's own reverse look-up of the store's address got no answer in time, in a world of several hosts: on one
    host nobody's name is asked for but in a race at the start."""
    if case.origin is Origin.WORLD and not several_hosts(case):
        return None
    slow = {
        r.slot: p
        for r in started(case)
        for p in r.probes
        if p.kind == "reverse-name" and p.outcome is Outcome.TIMED_OUT
    }
    if not slow:
        return None
    ranks = [r for r in started(case) if r.slot in slow]
    address = slow[ranks[0].slot].target
    mapped = address if ":" in address else f"::ffff:{address}"  # the store's sockets are IPv6 ones
    servers = sorted({s for r in ranks if (h := case.host(r.host)) for s in h.nameservers})
    seen = [
        evidence(EvidenceKind.PROBE, f"the name of {slow[r.slot].target}: {slow[r.slot].detail}", r, "reverse look-up")
        for r in ranks[:6]
    ]
    if servers:
        seen.append(evidence(EvidenceKind.FACT, f"nameserver {', '.join(servers)}", ranks[0], "/etc/resolv.conf"))
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"Asking for the name of {address} gets no answer on {ranks_text(names(ranks))}: every repeated connection waits for it",
        confidence=0.8,
        ranks=names(ranks),
        hosts=tuple(dict.fromkeys(r.host for r in ranks)),
        evidence=tuple(seen),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="repair the reverse zone, or name the hosts' addresses in /etc/hosts in the form that is asked for",
                commands=(f"echo '{mapped} NAME' | sudo tee -a /etc/hosts   # and so for every host",),
                applies_to_ranks=names(ranks),
            ),
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="or shorten the resolver's patience: RES_OPTIONS='timeout:1 attempts:1'",
                set={"RES_OPTIONS": "timeout:1 attempts:1"},
                applies_to_ranks=names(ranks),
            ),
        ),
    )


RULE = Rule(
    cause="reverse-dns-slow",
    code="CC135",
    title="Asking for the name of an address takes seconds",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    fixes=((FixPattern.NETWORK_SETTING, "name the hosts in /etc/hosts"),),
    match=match,
    needs=("ranks",),
)
