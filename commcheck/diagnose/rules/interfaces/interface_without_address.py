"""The named interface has no address.

**What you see.** `Unable to find address for: NAME`, although `ip link` shows the interface up.

**Why it happens.** DHCP has not answered, an InfiniBand port without IP over InfiniBand, a bridge's or bond's member.

**How to fix.** Give it an address, or name the interface that has one (the bond, the bridge).

**How to confirm.** `ip -br addr show dev NAME` shows no address.
"""

from __future__ import annotations

from commcheck.diagnose.choosing import FOLLOWS_NO_NETWORK, choices, matched, shown, unnamed
from commcheck.model.case import Case
from commcheck.model.diagnosis import Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A named interface that is up and has neither an IPv4 nor a routable IPv6 address."""
    wrong = tuple(
        c
        for c in (*choices(case), *unnamed(case))
        if c.interface is not None
        and c.interface.up
        and c.interface.carrier
        and not any(not a.address.startswith("fe80") for a in c.interface.addresses)
    )
    if not wrong:
        return None
    return matched(case, wrong, f"Interface {wrong[0].name} has no address on {shown(wrong)}")


RULE = Rule(
    cause="interface-without-address",
    code="CC142",
    title="The named interface has no address",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "name an interface that has an address"),
        (FixPattern.NETWORK_SETTING, "give the interface an address"),
    ),
    match=match,
    explains=FOLLOWS_NO_NETWORK,
    needs=("environment", "hosts"),
)
