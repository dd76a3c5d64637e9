"""What one process's own settings and host tell of the world that it is to join: what `commcheck lint` adds to its rules.

The other ranks are not known, so only what must fail with any of them counts."""

from __future__ import annotations

from collections.abc import Mapping

from commcheck.model.case import HostFacts
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.plan import Place, Plan, RankPlan
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import Symptom
from commcheck.predict.addresses import loopback
from commcheck.predict.mesh import offers
from commcheck.predict.model import Outlook, Prediction, Ranks
from commcheck.predict.settings import flags, transport

SAID = 0.85
"""Confidence where a setting of gloo's own stops any world of gloo: whoever sets it means gloo."""
SHOWN = 0.4
"""Confidence where it stops gloo alone, and nothing says that gloo will be used: worth a look, and no verdict."""
FAMILIES = ("GLOO_", "TORCH_GLOO_")


def predicted(environment: Mapping[str, str], facts: HostFacts) -> tuple[Prediction, float] | None:
    """What must fail, and how sure that is; None where nothing must."""
    rank = RankPlan(slot=0, environment=dict(environment), place=Place(host=facts.host))
    ranks = Ranks(plan=Plan(size=1, backend="gloo", ranks=(rank,)), facts={facts.host: facts})
    named = any(name.startswith(FAMILIES) for name in environment)
    if named:
        for part in (transport, flags):
            found = part(ranks)
            if found is not None and found.outlook is Outlook.FAILS:
                return found, SAID
    made = offers(facts, rank)
    if isinstance(made, Prediction):
        return made, SAID
    if _several_hosts(environment) and any(loopback(a) for a in made):
        return _alone(made, environment), SAID if "GLOO_SOCKET_IFNAME" in environment else SHOWN
    return None


def _several_hosts(environment: Mapping[str, str]) -> bool:
    """The launcher says that not all ranks run on this host."""
    whole, here = environment.get("WORLD_SIZE", ""), environment.get("LOCAL_WORLD_SIZE", "")
    return whole.isdigit() and here.isdigit() and int(here) < int(whole)


def _alone(made: tuple[str, ...], environment: Mapping[str, str]) -> Prediction:
    address = next(a for a in made if loopback(a))
    if "GLOO_SOCKET_IFNAME" in environment:
        cause, by = "interface-loopback", f"GLOO_SOCKET_IFNAME={environment['GLOO_SOCKET_IFNAME']}"
    else:
        cause, by = "host-resolves-to-loopback", "the host's own name"
    reason = f"gloo would tell ranks on other hosts to connect to {address}, by {by}"
    return Prediction(outlook=Outlook.FAILS, cause=cause, symptom=Symptom.SETUP_FAILURE, reason=reason)


def match_of(found: Prediction, confidence: float, rule: Rule) -> Match:
    """The prediction as what the rule of its cause has seen."""
    seen = Evidence(kind=EvidenceKind.FACT, text=found.reason, source="predicted from settings and interfaces")
    return Match(
        symptom=found.symptom or rule.symptoms[0],
        title=found.reason[:1].upper() + found.reason[1:],
        confidence=confidence,
        evidence=(seen,),
        fixes=tuple(Fix(pattern=pattern, text=text) for pattern, text in rule.fixes),
    )
