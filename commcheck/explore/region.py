"""What a search has shown: coverage, findings by cause, and the safe region. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from commcheck.explore.findings import (
    BROKEN,
    Cell,
    Coverage,
    Exploration,
    Finding,
    Found,
    Group,
    Kind,
)
from commcheck.explore.oracle import agreed, kind, surprise
from commcheck.explore.search import Search
from commcheck.generate.parameter import Combination, Setting, deviations
from commcheck.model.diagnosis import Verdict

WORKS, FAILS, OPEN = "w", "f", "."


def summary(search: Search, *, seconds: float, ended: str, notes: tuple[str, ...] = ()) -> Exploration:
    """The result of a search as it stands."""
    space = search.space
    findings = [_finding(search, f) for f in search.found if f.kind is not Kind.NOT_RUN]
    base = search.base[-1] if search.base else None
    verdicts = [a for runs in search.observed.values() for o in runs if (a := agreed(o)) is not None]
    letters = pairs(search)
    return Exploration(
        method=search.method,
        seed=search.seed,
        base=base.verdict.value if base is not None else Verdict.INCONCLUSIVE.value,
        base_title=(base.title or base.not_run) if base is not None else "",
        parameters={p.name: tuple(c.name for c in p.choices) for p in space.parameters},
        coverage=coverage(search),
        groups=grouped(findings),
        cells=_cells(search),
        pairs=letters,
        worlds=search.worlds.total(),
        seconds=round(seconds, 1),
        worlds_by_purpose=dict(search.worlds),
        agreed=sum(verdicts),
        predicted=len(verdicts),
        unsure=(*_base_by_luck(search), *(_finding(search, f) for f in search.unsure)),
        unshrunk=tuple(space.named(deviations(row)) for row in search.unshrunk),
        not_run=dict(Counter(f.observation.not_run for f in search.found if f.kind is Kind.NOT_RUN)),
        ended=ended,
        notes=notes,
    )


def coverage(search: Search) -> Coverage:
    """The count, anew from the rows that worked and the combinations that fail."""
    total = search.coverage.total
    work = sum(1 for _ in _covered(search))
    left = search.coverage.left
    return Coverage(strength=search.coverage.strength, total=total, work=work, fail=total - work - left, open=left)


def _covered(search: Search) -> Iterable[Combination]:
    broken = [f.combination for f in (*search.found, *search.unsure) if f.kind in BROKEN]
    seen: set[Combination] = set()
    for row in search.working:
        for where in combinations(range(len(row)), search.coverage.strength):
            combination = frozenset((p, row[p]) for p in where)
            if combination not in seen and not any(b <= combination for b in broken):
                seen.add(combination)
                yield combination


def grouped(findings: Iterable[Finding]) -> tuple[Group, ...]:
    """By cause; those that fail first, the larger groups first."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.cause, []).append(finding)
    made = [Group(cause=cause, findings=tuple(members)) for cause, members in groups.items()]
    return tuple(sorted(made, key=lambda g: (g.findings[0].kind not in BROKEN, -len(g.findings), g.cause)))


def _finding(search: Search, found: Found) -> Finding:
    seen = found.observation
    cause = seen.cause or seen.prediction.cause or found.kind.value
    return Finding(
        kind=found.kind,
        settings=search.space.named(found.combination),
        cause=cause,
        title=seen.title or _words(found),
        symptom=seen.symptom or seen.prediction.symptom,
        ranks=seen.ranks,
        predicted=seen.prediction,
        surprise=surprise(seen),
        runs=found.runs,
        failed=found.failed,
        config=search.space.config(tuple(dict(found.combination).get(p, 0) for p in range(len(found.row)))),
    )


def _base_by_luck(search: Search) -> tuple[Finding, ...]:
    """The base, where it worked and had not at first."""
    failed = [o for o in search.base if (what := kind(o)) in BROKEN and what is not None]
    if not failed or len(failed) == len(search.base):
        return ()
    found = Found(
        kind=kind(failed[0]) or Kind.FAILS,
        combination=frozenset(),
        row=search.space.start,
        failed=len(failed),
        runs=len(search.base),
        observation=failed[0],
    )
    return (_finding(search, found),)


def _words(found: Found) -> str:
    seen = found.observation
    if found.kind is Kind.FORMS:
        return f"it works, although: {seen.prediction.reason}"
    if found.kind is Kind.SLOW:
        return f"it works, and takes {seen.seconds:.1f} s"
    return seen.left or "no cause is known"


def pairs(search: Search) -> tuple[str, ...]:
    """For each setting a text with a letter per setting: whether both were seen to work together, or fail."""
    settings = [(p, c) for p, size in enumerate(search.space.sizes) for c in range(size)]
    number = {s: n for n, s in enumerate(settings)}
    table = [[OPEN] * len(settings) for _ in settings]
    for row in search.working:
        here = [number[p, c] for p, c in enumerate(row)]
        for a in here:
            for b in here:
                table[a][b] = WORKS
    for found in (*search.found, *search.unsure):
        if found.kind in BROKEN and len(found.combination) <= 2:
            _mark(table, found.combination, number)
    return tuple("".join(line) for line in table)


def _mark(table: list[list[str]], combination: Combination, number: dict[Setting, int]) -> None:
    ends = [number[s] for s in sorted(combination)]
    if len(ends) == 1:
        for other in range(len(table)):
            table[ends[0]][other] = table[other][ends[0]] = FAILS
    elif ends:
        table[ends[0]][ends[1]] = table[ends[1]][ends[0]] = FAILS


def _cells(search: Search) -> tuple[Cell, ...]:
    broken = [f for f in search.found if f.kind in BROKEN and f.kind is not Kind.NOT_RUN]
    made = []
    for p, parameter in enumerate(search.space.parameters):
        for c, choice in enumerate(parameter.choices):
            mine = [n for n, f in enumerate(broken) if (p, c) in f.combination]
            made.append(
                Cell(
                    parameter=parameter.name,
                    choice=choice.name,
                    works=sum(row[p] == c for row in search.working),
                    alone=any(len(broken[n].combination) == 1 for n in mine),
                    findings=tuple(mine),
                )
            )
    return tuple(made)
