"""GLOO_SOCKET_IFNAME (or NCCL_SOCKET_IFNAME) names an interface that the host does not have.

**What you see.** `ifa != nullptr. Unable to find address for: NAME` on the ranks of that host; the others wait. NCCL says
`Bootstrap : no socket interface found` and gives up.

**Why it happens.** One value for all hosts although their interfaces are named differently (eth0, ens5, enp1s0f0), or a
value written for NCCL: gloo takes exact names, NCCL prefixes.

**How to fix.** Set the name that this host has, per host if they differ.

**How to confirm.** `ip -br link` on that host.
"""

from __future__ import annotations

from commcheck.diagnose.choosing import FOLLOWS_A_CHOICE, choices, matched, shown
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A named interface that is in no list of the host."""
    wrong = tuple(c for c in choices(case) if c.interface is None)
    if not wrong:
        return None
    return matched(case, wrong, f"There is no interface {wrong[0].name} on {shown(wrong)}")


RULE = Rule(
    cause="interface-missing",
    code="CC140",
    title="The named interface does not exist",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "set GLOO_SOCKET_IFNAME to an interface that the host has"),),
    match=match,
    explains=FOLLOWS_A_CHOICE,
    needs=("environment", "hosts"),
)
