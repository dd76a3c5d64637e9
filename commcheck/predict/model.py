"""The prediction, and in which order its parts are asked: as a world comes through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from commcheck.model.base import Value
from commcheck.model.case import HostFacts
from commcheck.model.plan import Plan, RankPlan
from commcheck.model.taxonomy import Symptom


class Outlook(StrEnum):
    """What should happen."""

    FORMS = "forms"
    FAILS = "fails"
    SLOW = "slow"
    UNKNOWN = "unknown"


class Prediction(Value, frozen=True):
    """What should happen, and why. `cause` and `symptom` where it fails, or forms by luck alone: then a check may call that
    out although the world comes through."""

    outlook: Outlook
    reason: str
    cause: str = ""
    symptom: Symptom | None = None
    ranks: tuple[int, ...] = ()


class Ranks(Value, frozen=True):
    """A world as it is to be started, with the facts of its hosts by name."""

    plan: Plan
    facts: dict[str, HostFacts]

    def host(self, rank: RankPlan) -> HostFacts | None:
        """The facts of the host that a rank runs on."""
        return self.facts.get(rank.place.host)

    def together(self, one: RankPlan, other: RankPlan) -> bool:
        """Both run on the same host."""
        return one.place == other.place

    @property
    def several_hosts(self) -> bool:
        """The ranks do not all run on one host."""
        return len({r.place for r in self.plan.ranks}) > 1


Part = Callable[[Ranks], Prediction | None]
"""One thing that can go wrong; None where it does not."""


def fails(cause: str, symptom: Symptom, reason: str, ranks: Sequence[int] = ()) -> Prediction:
    """A failure for sure."""
    return Prediction(outlook=Outlook.FAILS, cause=cause, symptom=symptom, reason=reason, ranks=tuple(ranks))


def unknown(reason: str) -> Prediction:
    """Nothing here tells."""
    return Prediction(outlook=Outlook.UNKNOWN, reason=reason)


def slow(reason: str) -> Prediction:
    """It forms, and takes its time."""
    return Prediction(outlook=Outlook.SLOW, reason=reason)


def predict(plan: Plan, hosts: Sequence[HostFacts]) -> Prediction:
    """What a world should do. The first part that sees a failure decides; what is not known leaves room for a later part
    that sees one, and wins over "forms"."""
    from commcheck.predict import calls, mesh, settings, store

    ranks = Ranks(plan=plan, facts={h.host: h for h in hosts})
    doubt: Prediction | None = None
    for part in (*settings.PARTS, *store.PARTS, *mesh.PARTS, *calls.PARTS):
        found = part(ranks)
        if found is not None and found.outlook is Outlook.FAILS:
            return found
        doubt = doubt or found
    return doubt or Prediction(outlook=Outlook.FORMS, reason="nothing that is known stands against it")
