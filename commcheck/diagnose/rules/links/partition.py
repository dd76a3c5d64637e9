"""The hosts fall into groups that cannot reach each other.

**What you see.** Each group waits for the other; no single host is to blame.

**Why it happens.** A switch, a VLAN or a routing domain that is cut; two racks with a missing uplink.

**How to fix.** Restore the path between the groups, or run the job inside one.

**How to confirm.** Every pair inside a group connects, no pair across does.
"""

from __future__ import annotations

from commcheck.diagnose.linking import Direction, blocked, hosts, links, settled, shown, symptom
from commcheck.model.case import Case, Outcome
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """At least two groups of two, whole inside and cut between."""
    found = blocked(case, Outcome.TIMED_OUT, Outcome.UNREACHABLE, Outcome.REFUSED)
    groups = _groups(found.worked)
    if len(groups) < 2 or not found.failed:
        return None
    # What works is inside of a group, by what a group is: that the cut is whole needs no look at each pair across it.
    if any(any(a in g and b in g for g in groups) for a, b in found.failed):
        return None
    ranks = tuple(sorted(r for g in groups for r in g))
    text = " | ".join(", ".join(map(str, sorted(g))) for g in groups)
    directions = tuple(found.failed)
    return Match(
        symptom=symptom(case, Symptom.SETUP_HANG_TIMEOUT),
        title=f"The network is cut between the ranks {text}",
        confidence=settled(case, 0.94),
        ranks=ranks,
        hosts=hosts(case, ranks),
        links=links(case, directions),
        evidence=shown(case, found, directions),
        fixes=(
            Fix(
                pattern=FixPattern.NETWORK_SETTING,
                text="restore the path between the groups (switch, VLAN, route), or run the job inside one of them",
                not_tried="it is not a setting of the world",
            ),
        ),
    )


def _groups(worked: tuple[Direction, ...]) -> list[set[int]]:
    """Connected components of at least two ranks."""
    group_of: dict[int, set[int]] = {}
    for a, b in worked:
        one, other = (group_of.get(rank) or {rank} for rank in (a, b))
        small, large = sorted((one, other), key=len)
        if small is not large:
            large |= small
            group_of |= dict.fromkeys(small, large)
        group_of[a] = group_of[b] = large
    return list({id(group): group for group in group_of.values()}.values())


RULE = Rule(
    cause="partition",
    code="CC163",
    title="The hosts fall into groups that cannot reach each other",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE, Symptom.TRAIN_COMMUNICATION_ERROR, Symptom.PERF_HANG),
    fixes=((FixPattern.NETWORK_SETTING, "restore the path between the groups"),),
    match=match,
    explains=(
        "nccl-address-unreachable",
        "address-order-dependent",
        "data-ports-dropped",
        "data-ports-refused",
        "route-missing",
        "one-way-blocked",
    ),
    needs=("ranks",),
)
