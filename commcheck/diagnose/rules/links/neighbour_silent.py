"""A host of the same network does not answer when it is asked for its hardware address.

**What you see.** `No route to host`, or silence until the timeout, although the address is right and in one's own network.

**Why it happens.** The host is off, its cable or VLAN is another one, its switch port is isolated, or something filters ARP.
Nothing that one sends reaches it, whatever the port; firewalls and routes are not concerned.

**How to fix.** See that the host is up and that its interface is in the same VLAN; until then leave it out.

**How to confirm.** `ip neigh show ADDRESS` says FAILED or INCOMPLETE; `arping -I IFACE ADDRESS` gets no answer.
"""

from __future__ import annotations

from commcheck.diagnose.linking import Direction, culprits, hosts, links, settled
from commcheck.diagnose.view import data_probes, evidence, master_probe, rank_zero, started
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Outcome, Probe
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.phase import Phase, PhaseStatus
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

SOME_DO = 0.6


def match(case: Case) -> Match | None:
    """Attempts of ours ended without an answer to ARP, for an address that is a rank's host's own."""
    silent = _silent(case)
    if not silent:
        return None
    directions = tuple(silent)
    ranks = _blamed(case, directions)
    found_by_others = any(_reached(case, b) for b in {b for _, b in directions})
    by_name = {r.name: r for r in case.ranks}
    target = silent[directions[0]].target
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"Nobody answers for {target}: the host of {ranks_text(ranks)} is not to be found in its network",
        # A host that others find is there: then a question or an answer was lost, or the one who asks is the odd one.
        confidence=settled(case, SOME_DO if found_by_others else 0.92),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, directions),
        evidence=tuple(
            evidence(
                EvidenceKind.PROBE,
                f"to {silent[a, b].target} port {silent[a, b].port}: {silent[a, b].detail}; no answer to ARP",
                by_name.get(a),
                "own connection, /proc/net/arp",
            )
            for a, b in directions[:6]
        ),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="see that the host is up, and that its interface, cable and switch port are in the same network",
                commands=(f"ip neigh show {target}; arping -c 3 {target}",),
                applies_to_ranks=ranks,
            ),
        ),
    )


def _silent(case: Case) -> dict[Direction, Probe]:
    found = {d: p for d, p in data_probes(case).items() if p.unanswered and not p.router}
    zero = rank_zero(case)
    facts = case.host(zero.host) if zero is not None else None
    own = {a.address for i in facts.interfaces for a in i.addresses} if facts is not None else set()
    for rank in started(case):
        probe = master_probe(rank)
        # An address that is not rank 0's at all has other causes, which say so.
        if zero is not None and probe is not None and probe.unanswered and not probe.router and probe.target in own:
            found[rank.name, zero.name] = probe
    return found


def _blamed(case: Case, directions: tuple[Direction, ...]) -> tuple[int, ...]:
    """The host that nobody finds, where it is one; otherwise whom the directions have in common."""
    targets = {b for _, b in directions}
    if len(targets) == 1 and not _reached(case, next(iter(targets))):
        return tuple(targets)
    return culprits(directions)


def _reached(case: Case, target: int) -> bool:
    """A rank of another host has got through to `target`: by an attempt of ours, or to its store."""
    where = {r.name: r.host for r in case.ranks}
    others = {r.name: r for r in started(case) if r.host != where.get(target)}
    if any(p.outcome is Outcome.OK for (a, b), p in data_probes(case).items() if b == target and a in others):
        return True
    zero = rank_zero(case)
    if zero is None or zero.name != target:
        return False
    return any(p.phase is Phase.STORE and p.status is PhaseStatus.OK for r in others.values() for p in r.phases)


RULE = Rule(
    cause="neighbour-silent",
    code="CC175",
    title="A host of the same network does not answer ARP",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=((FixPattern.NETWORK_SETTING, "see that the host is up and in the same network"),),
    match=match,
    explains=(
        *("route-missing", "port-dropped", "port-refused", "data-ports-dropped", "one-way-blocked", "partition"),
        *("address-order-dependent", "rank-missing", "link-lossy", "mtu-mismatch", "nccl-address-unreachable"),
    ),
    needs=("ranks", "hosts"),
)
