"""What came of a scenario, against what was expected; and the sum over many. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from commcheck.model.base import Value
from commcheck.model.diagnosis import Report, Role, Verdict
from commcheck.model.scenario import Scenario

VALUES_CHECKED = 10
"""Values that each rank of a healthy world has to have compared at least."""
UNCLASSIFIED = "unclassified"
NOTHING = "healthy"
UNSURE = "unsure"
"""What stands in the confusion matrix for a world that is called healthy, and for one of which nothing is known."""


class Outcome(Value, frozen=True):
    """One row of the scoreboard. `said`: the leading cause, "healthy" or "unsure". `seconds`: from the start of the world
    to the diagnosis; `took`: for all of it, the lab and the tried fixes included. `problems`: what is not as expected."""

    name: str
    title: str
    expected: str
    family: str = ""
    skipped: str = ""
    verdict: str = ""
    said: str = ""
    confidence: float = 0.0
    also_said: tuple[str, ...] = ()
    ranks: tuple[int, ...] = ()
    symptom: str = ""
    healthy: bool = False
    mendable: bool = False
    symptom_right: bool = False
    cause_at_1: bool = False
    cause_in_3: bool = False
    culprit: bool = False
    fix_verified: bool = False
    fixes_offered: bool = True
    false_alarm: bool = False
    unknown: bool = False
    in_time: bool = True
    seconds: float = 0.0
    took: float = 0.0
    problems: tuple[str, ...] = ()


class Sum(Value, frozen=True):
    """All rows that were run, counted. The causes, culprits and symptoms are of the unhealthy ones (`scenarios` less
    `healthy`), `fix_verified` of the `mendable` ones. `seconds`: the mean to the diagnosis; `slowest`: the most."""

    scenarios: int
    healthy: int
    symptom: int
    cause_at_1: int
    cause_in_3: int
    culprit: int
    mendable: int
    fix_verified: int
    false_alarms: int
    unknown: int
    as_expected: int
    skipped: int
    seconds: float
    slowest: float


class Family(Value, frozen=True):
    """One family of look-alikes: how many there are, and how many causes lead."""

    name: str
    scenarios: int
    cause_at_1: int


class Board(Value, frozen=True):
    """The scoreboard. `confusion`: by expected cause, how often what was said instead or rightly."""

    schema: str
    sum: Sum
    families: tuple[Family, ...]
    confusion: dict[str, dict[str, int]]
    scenarios: tuple[Outcome, ...]
    seconds: float


SCHEMA = "commcheck/scoreboard/1"


def _expected(scenario: Scenario) -> str:
    return scenario.expect.cause if scenario.expect.verdict is Verdict.UNHEALTHY else scenario.expect.verdict.value


def skipped(name: str, scenario: Scenario, why: str) -> Outcome:
    """The row of a scenario that cannot be run here."""
    return Outcome(name=name, title=scenario.title, expected=_expected(scenario), family=scenario.family, skipped=why)


def outcome(name: str, scenario: Scenario, report: Report, early: Report, *, took: float) -> Outcome:
    """The row of one run. `early`: the report as it stood before fixes were tried: the seconds to it are what counts."""
    expect = scenario.expect
    roots = [d for d in report.diagnoses if d.role is Role.ROOT]
    lead = roots[0] if roots else None
    healthy = expect.verdict is Verdict.HEALTHY
    wanted = {expect.cause, *expect.also} - {""}
    unhealthy = report.verdict is Verdict.UNHEALTHY
    seconds = early.world.seconds if early.world is not None else early.seconds
    if report.verdict is Verdict.HEALTHY:
        said = NOTHING
    else:
        said = lead.cause if lead is not None and unhealthy and lead.cause != UNCLASSIFIED else UNSURE
    interfaces = {c.interface for c in report.world.proof if c.purpose == "data"} if report.world else set()
    verified = any(f.verified for d in roots for f in d.fixes)
    offered = {f.pattern for d in roots for f in d.fixes}
    row = Outcome(
        name=name,
        title=scenario.title,
        expected=_expected(scenario),
        family=scenario.family,
        verdict=report.verdict.value,
        said=said,
        confidence=round(lead.confidence, 3) if lead is not None else 0.0,
        also_said=tuple(d.cause for d in roots[1:3]),
        ranks=lead.ranks if lead is not None else (),
        symptom=lead.symptom.value if lead is not None else "",
        healthy=healthy,
        mendable=expect.mended,
        symptom_right=unhealthy and lead is not None and lead.symptom in expect.symptoms,
        cause_at_1=unhealthy and lead is not None and lead.cause in wanted,
        cause_in_3=unhealthy and any(d.cause in wanted for d in roots[:3]),
        culprit=unhealthy and lead is not None and _culprit(scenario, lead.cause, lead.ranks),
        fix_verified=verified,
        fixes_offered=set(expect.fixes) <= offered,
        false_alarm=healthy and unhealthy,
        unknown=said == UNSURE,
        in_time=seconds <= expect.within or healthy,
        seconds=round(seconds, 3),
        took=round(took, 3),
    )
    return _with_problems(row, scenario, report, interfaces)


def _culprit(scenario: Scenario, cause: str, ranks: tuple[int, ...]) -> bool:
    """The ranks named are the expected ones; when another of several causes leads, its ranks are not written down."""
    if scenario.expect.any_rank and ranks:
        return set(ranks) <= set(scenario.expect.ranks)
    return ranks == scenario.expect.ranks or (cause in scenario.expect.also and cause != scenario.expect.cause)


def _with_problems(row: Outcome, scenario: Scenario, report: Report, interfaces: set[str]) -> Outcome:
    expect = scenario.expect
    found = []
    if row.verdict != expect.verdict:
        found.append(f"verdict {row.verdict} instead of {expect.verdict.value}")
    if expect.verdict is Verdict.UNHEALTHY:
        if not row.cause_at_1:
            found.append(f"cause {row.said} instead of {expect.cause}")
        elif not row.culprit:
            found.append(f"ranks {list(row.ranks)} instead of {list(expect.ranks)}")
        if row.cause_at_1 and not row.symptom_right:
            found.append(f"symptom {row.symptom} instead of {' or '.join(expect.symptoms)}")
        if expect.mended and not row.fix_verified:
            found.append("no fix was seen to work")
        if not row.fixes_offered:
            found.append(f"not offered: {', '.join(expect.fixes)}")
        if not row.in_time:
            found.append(f"{row.seconds:.1f} s to the diagnosis instead of {expect.within:g} s")
    if expect.interface and row.verdict == Verdict.HEALTHY and interfaces - {"lo"} != {expect.interface} - {"lo"}:
        found.append(f"data went over {', '.join(sorted(interfaces)) or 'nothing'} instead of {expect.interface}")
    if row.healthy and row.verdict == Verdict.HEALTHY:
        found += _proof(report)
    return replace(row, problems=tuple(found))


def _proof(report: Report) -> list[str]:
    """What a healthy report owes: "it ran" is not enough."""
    world = report.world
    if world is None:
        return ["healthy without a world"]
    data = [c for c in world.proof if c.purpose == "data"]
    found = []
    if world.distinct_processes != world.size or len({p.pid for p in world.placed}) != world.size:
        found.append(f"{world.distinct_processes} processes proven instead of {world.size}")
    if world.values_checked < world.size * VALUES_CHECKED:
        found.append(f"only {world.values_checked} values were checked")
    if world.size > 1 and {c.rank for c in data} != {c.rank for c in world.proof}:
        found.append("not every rank has a proven data connection")
    return found


def failed(name: str, scenario: Scenario, why: str, took: float) -> Outcome:
    """The row of a scenario that we could not run although nothing was missing: our own failure."""
    return Outcome(
        name=name,
        title=scenario.title,
        expected=_expected(scenario),
        family=scenario.family,
        verdict=Verdict.INCONCLUSIVE.value,
        said=UNSURE,
        healthy=scenario.expect.verdict is Verdict.HEALTHY,
        mendable=scenario.expect.mended,
        unknown=True,
        took=round(took, 3),
        problems=(f"could not be run: {why}",),
    )


def board(rows: Iterable[Outcome], seconds: float) -> Board:
    """The scoreboard of some rows, in their order."""
    every = tuple(rows)
    ran = [r for r in every if not r.skipped]
    faulty = [r for r in ran if not r.healthy]
    timed = [r.seconds for r in faulty if r.seconds]
    families = sorted({r.family for r in faulty} - {""})
    confusion: dict[str, Counter[str]] = {}
    for r in ran:
        # Where one of several causes leads, it is no confusion.
        confusion.setdefault(r.expected, Counter())[r.expected if r.cause_at_1 else r.said] += 1
    return Board(
        schema=SCHEMA,
        sum=Sum(
            scenarios=len(ran),
            healthy=len(ran) - len(faulty),
            symptom=sum(r.symptom_right for r in faulty),
            cause_at_1=sum(r.cause_at_1 for r in faulty),
            cause_in_3=sum(r.cause_in_3 for r in faulty),
            culprit=sum(r.culprit for r in faulty),
            mendable=sum(r.mendable for r in faulty),
            fix_verified=sum(r.mendable and r.fix_verified for r in faulty),
            false_alarms=sum(r.false_alarm for r in ran),
            unknown=sum(r.unknown for r in ran),
            as_expected=sum(not r.problems for r in ran),
            skipped=len(every) - len(ran),
            seconds=round(sum(timed) / len(timed), 3) if timed else 0.0,
            slowest=max(timed, default=0.0),
        ),
        families=tuple(
            Family(
                name=f,
                scenarios=sum(r.family == f for r in faulty),
                cause_at_1=sum(r.family == f and r.cause_at_1 for r in faulty),
            )
            for f in families
        ),
        confusion={expected: dict(sorted(said.items())) for expected, said in sorted(confusion.items())},
        scenarios=every,
        seconds=round(seconds, 1),
    )
