"""A bundle: one world that was seen, with all that it takes to run it again. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from commcheck import __version__
from commcheck.model.base import Value
from commcheck.model.case import Case
from commcheck.model.diagnosis import Report
from commcheck.model.plan import Place, Plan, RankPlan
from commcheck.model.scenario import Scenario
from commcheck.replay import clean

SCHEMA = "commcheck/bundle/1"
RECORDED = "recorded"
"""The workload that plays calls of a recording; what other workloads are told is not kept."""


class Head(Value, frozen=True):
    """What a bundle is. `origin`: what made it ("preflight", "scenario", "exploration", "recording"); `name`: of the scenario or
    finding; `seed`: of the search that found it; `versions`: of what took part."""

    schema: str
    origin: str
    name: str
    seed: int | None
    versions: dict[str, str]


class Bundle(Value, frozen=True):
    """One world. `plan`: its ranks, each with the variables that matter and the name of its host; `case`: the evidence,
    the facts of the hosts among it; `report`: what was said. `scenario`: how it was declared, with its faults and
    their times; None where nobody declared it."""

    head: Head
    plan: Plan
    case: Case
    report: Report
    scenario: Scenario | None = None


def bundle_of(
    plan: Plan,
    case: Case,
    report: Report,
    *,
    origin: str,
    name: str = "",
    seed: int | None = None,
    scenario: Scenario | None = None,
) -> Bundle:
    """The bundle of a world that was run, without secrets."""
    known = clean.secrets([plan.base_environment, *(r.environment for r in plan.ranks)])
    whole = Bundle(
        head=Head(
            schema=SCHEMA, origin=origin, name=name, seed=seed, versions=report.versions | {"commcheck": __version__}
        ),
        plan=_kept(plan),
        case=clean.without_places(case),
        report=clean.without_places(report),
        scenario=scenario,
    )
    return clean.without_secrets(whole, known)


def _kept(plan: Plan) -> Plan:
    """The plan without what holds on one machine alone: namespaces, control groups, interpreters, the rest of the environment."""
    return replace(
        plan,
        ranks=tuple(_kept_rank(r) for r in plan.ranks),
        base_environment={},
        given=plan.given if plan.workload == RECORDED else b"",
    )


def _kept_rank(rank: RankPlan) -> RankPlan:
    return replace(
        rank,
        environment=clean.environment(rank.environment),
        place=Place(host=rank.place.host),
        cgroups=(),
        python="",
    )


def plan_of(case: Case) -> Plan:
    """The plan of a world of which only the evidence is there: somebody else's launcher started its ranks."""
    size = case.world.size if case.world is not None else len(case.ranks)
    backend = case.world.backend if case.world is not None else "gloo"
    return Plan(
        size=size,
        backend=backend,
        ranks=tuple(
            RankPlan(
                slot=r.slot,
                environment=clean.environment(r.environment),
                place=Place(host=r.host),
                backend=r.backend or backend,
                init_method=r.init_method,
                store_seconds=case.world.store_seconds if case.world is not None else None,
            )
            for r in case.ranks
        ),
    )
