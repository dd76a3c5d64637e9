"""The named interface is down.

**What you see.** `Unable to find address for`, or connections that find no route: the interface is there, its link is not.

**Why it happens.** A cable or transceiver, `ip link set ... down`, a bond without members.

**How to fix.** Bring it up, or name an interface that is up.

**How to confirm.** `ip -br link` shows DOWN or NO-CARRIER.
"""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.diagnose.choosing import FOLLOWS_NO_NETWORK, choices, matched, shown, unnamed
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A named interface that is not up, or has no carrier."""
    wrong = tuple(
        c
        for c in (*choices(case), *unnamed(case))
        if c.interface is not None and not c.interface.loopback and not (c.interface.up and c.interface.carrier)
    )
    if not wrong:
        return None
    state = "down" if not wrong[0].interface or not wrong[0].interface.up else "without carrier"
    found = matched(case, wrong, f"Interface {wrong[0].name} is {state} on {shown(wrong)}")
    up = Fix(
        pattern=FixPattern.NETWORK_SETTING,
        text=f"bring {wrong[0].name} up",
        commands=(f"sudo ip link set {wrong[0].name} up",),
        applies_to_ranks=found.ranks,
    )
    return replace(found, fixes=(*found.fixes, up))


RULE = Rule(
    cause="interface-down",
    code="CC141",
    title="The named interface is down",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "name an interface that is up"),
        (FixPattern.NETWORK_SETTING, "bring the interface up"),
    ),
    match=match,
    explains=FOLLOWS_NO_NETWORK,
    needs=("environment", "hosts"),
)
