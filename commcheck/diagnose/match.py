"""Run every rule on a case, and say which match leads.

A rule that crashes is a fault of ours: it is listed as not evaluated and never becomes a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from commcheck import registry
from commcheck.catalog.fixes import frequency
from commcheck.diagnose import index
from commcheck.diagnose.documented import how_to_confirm
from commcheck.diagnose.framework import framework_of
from commcheck.model.base import Value
from commcheck.model.case import Case, Ended, Origin, RankRecord
from commcheck.model.diagnosis import Diagnosis, Evidence, EvidenceKind, Match, Role, Verdict
from commcheck.model.phase import Phase
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import Stage, Symptom

FLAGGED = 0.5
"""Confidence from which a root diagnosis makes a world unhealthy."""
DECIDED = 0.75
"""Confidence from which a root diagnosis ends the watch: waiting longer would not change it."""
WORDS_ALONE = 0.6
"""Confidence that the words of a world's ranks give at most, where its structured evidence could give more."""
_STATIC = ("environment", "fabric", "interfaces", "limits")
_STAGES = tuple(Stage)


class Judgement(Value, frozen=True):
    """What the rules make of a case. `diagnoses`: best first."""

    verdict: Verdict
    diagnoses: tuple[Diagnosis, ...]
    not_evaluated: tuple[str, ...] = ()
    next: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """A root cause is known, surely enough to call a world unhealthy."""
        return _flagged(self.diagnoses)


def _flagged(diagnoses: Iterable[Diagnosis]) -> bool:
    return any(d.role is Role.ROOT and d.confidence >= FLAGGED for d in diagnoses)


def static_rules() -> tuple[index.Listed, ...]:
    """The rules that settings and host facts alone can meet: what `commcheck lint` judges, and all that it imports."""
    folders = (f"{index.RULES}.{folder}" for folder in _STATIC)
    return index.by_code(pair for folder in folders for pair in registry.exporting(folder, "RULE", Rule))


def rules() -> tuple[Rule, ...]:
    """All rules, by code, and imported."""
    return tuple(listed.rule() for listed in index.index().rules)


def judge(case: Case, among: Sequence[index.Listed] | None = None) -> Judgement:
    """Diagnose a case. Pure: the same case gives the same judgement."""
    found, not_evaluated = matches(case, index.index().rules if among is None else among)
    diagnoses = order(found, case)
    verdict = _verdict(case, diagnoses)
    named = _flagged(diagnoses)
    # For a log, the log path itself says when no wording is known, with the lines that it looked at.
    if verdict is Verdict.UNHEALTHY and not named and case.origin is not Origin.LOG:
        diagnoses = (*diagnoses, _unclassified(case))
    if case.origin is Origin.LOG:
        from commcheck.diagnose.asking import collect_next

        ask = collect_next(case, diagnoses)
    else:
        ask = tuple(dict.fromkeys(n for _, m in found for n in m.next))
    return Judgement(verdict=verdict, diagnoses=diagnoses, not_evaluated=not_evaluated, next=ask)


def decided(case: Case) -> bool:
    """Whether the evidence so far names a root cause surely enough to stop waiting."""
    found, _ = matches(case, index.index().rules)
    return any(d.role is Role.ROOT and d.confidence >= DECIDED for d in order(found, case))


def matches(case: Case, among: Sequence[index.Listed]) -> tuple[tuple[tuple[Rule, Match], ...], tuple[str, ...]]:
    """All matches, and why some rules could not be evaluated. Only rules whose needs are met are imported."""
    found: list[tuple[Rule, Match]] = []
    skipped: list[str] = list(case.not_read)
    unmet: dict[str, int] = {}
    present = _present(case)
    for listed in among:
        if not listed.judges:
            continue
        if not listed.needs and present <= {"lines"}:
            continue  # it takes whatever evidence there is beside words
        missing = [need for need in listed.needs if need not in present]
        if missing:
            for need in missing:
                unmet[need] = unmet.get(need, 0) + 1
            continue
        rule = listed.rule()
        assert rule.match is not None
        try:
            match = rule.match(case)
        except Exception as e:
            skipped.append(f"rule {rule.cause} crashed ({type(e).__name__}: {e}); please report it")
            continue
        if match is not None:
            found.append((rule, match))
    if case.origin is Origin.LOG and "ranks" in unmet:
        skipped.append(_LOG_ALONE)
    else:
        skipped += [f"{count} rules need {_NEEDS[need]}" for need, count in sorted(unmet.items())]
    found = _with_ras(case, _with_errors(case, found, among), among)
    return _with_lines(case, found, among), tuple(skipped)


_NEEDS = {
    "ranks": "the ranks of a world (commcheck preflight)",
    "hosts": "facts of the hosts (commcheck lint on each)",
    "environment": "the settings",
    "lines": "a log",
}


_LOG_ALONE = (
    "the hosts, their settings and the network between them: a log does not show them, `commcheck preflight` does"
)


def _present(case: Case) -> frozenset[str]:
    """The needs that a case meets. The ranks of a log are mostly known by name alone: of these nothing can be judged."""
    ranks = bool(case.ranks)
    if case.origin is Origin.LOG:  # dumps of ranks make such a case too, and tell more
        ranks = any(r != RankRecord(slot=r.slot, rank=r.rank, world_size=None, host=r.host) for r in case.ranks)
    present = {
        "ranks": ranks,
        "hosts": bool(case.hosts),
        "environment": bool(case.environment) or ranks,
        "lines": bool(case.lines),
    }
    return frozenset(need for need, there in present.items() if there)


def _with_errors(
    case: Case, found: list[tuple[Rule, Match]], among: Sequence[index.Listed]
) -> list[tuple[Rule, Match]]:
    """Add the causes that the exceptions of ranks name, where no rule has found them in the rest of the evidence."""
    if not any(r.error for r in case.ranks):
        return found
    from commcheck.diagnose.errors import named

    known = {rule.cause for rule in among} - {rule.cause for rule, _ in found}
    return [*found, *((rule, match) for rule, match in named(case) if rule.cause in known)]


def _with_ras(case: Case, found: list[tuple[Rule, Match]], among: Sequence[index.Listed]) -> list[tuple[Rule, Match]]:
    """Add what NCCL's RAS says of the job, where it was asked."""
    if not case.ras:
        return found
    from commcheck.diagnose import ras

    known = {rule.cause for rule in among}
    rules_ = index.rules()
    said = ras.among(case, frozenset(rule.cause for rule, _ in found))
    return [
        *found,
        *((rule, ras.rule_fixes(rule, t.match)) for t in said if t.cause in known for rule in [rules_[t.cause]]),
    ]


def _with_lines(
    case: Case, found: list[tuple[Rule, Match]], among: Sequence[index.Listed]
) -> tuple[tuple[Rule, Match], ...]:
    """Add what the text says: all there is for a log; beside structured evidence only where that found
    nothing. What a world that came to its end has printed on the way is advice, not evidence."""
    if case.origin is not Origin.LOG and (
        found or case.ended is Ended.FINISHED or not any(r.output for r in case.ranks)
    ):
        return tuple(found)
    from commcheck.diagnose.logs import log_matches

    known = {rule.cause for rule in among}
    seen = {rule.cause for rule, _ in found}
    said = [(r, m) for r, m in log_matches(case) if r.cause in known and r.cause not in seen]
    if case.origin is not Origin.LOG:
        # Words alone do not end a watch while sockets and probes can still be looked at; and where a rule has looked and
        # found nothing, a line that many causes share does not bring its cause back.
        present = _present(case)
        looked = {one.cause for one in among if one.judges and present.issuperset(one.needs)}
        said = [
            (r, replace(m, confidence=min(m.confidence, WORDS_ALONE)))
            for r, m in said
            if m.confidence >= FLAGGED or r.cause not in looked
        ]
    return (*found, *said)


def order(found: Iterable[tuple[Rule, Match]], case: Case) -> tuple[Diagnosis, ...]:
    """Roots before consequences, surer before less sure, earlier stage before later."""
    pairs = tuple(found)
    follows = _following(pairs, case)
    framework = framework_of(case)
    done = [
        _diagnosis(rule, match, Role.CONSEQUENCE if number in follows else Role.ROOT, framework)
        for number, (rule, match) in enumerate(pairs)
    ]
    return tuple(
        sorted(done, key=lambda d: (d.role is not Role.ROOT, -round(d.confidence, 2), _STAGES.index(d.stage), d.code))
    )


def _following(pairs: Sequence[tuple[Rule, Match]], case: Case) -> frozenset[int]:
    """The places of those that follow from others. Of some that explain each other the surest does not."""
    # Words alone may fit a cause and what follows from it alike: then the likelier of the two leads.
    nearly = 0.0 if case.origin is Origin.LOG else 0.2
    why = [
        {
            other
            for other, (by, seen) in enumerate(pairs)
            if rule.cause in by.explains and seen.confidence >= max(FLAGGED, match.confidence - nearly)
        }
        for rule, match in pairs
    ]
    above = [_all_above(number, why) - {number} for number in range(len(pairs))]
    rank = [(-match.confidence, rule.code, number) for number, (rule, match) in enumerate(pairs)]
    leads = [
        not match.consequence and all(number in above[o] and rank[number] < rank[o] for o in above[number])
        for number, (_, match) in enumerate(pairs)
    ]
    return frozenset(number for number, lead in enumerate(leads) if not lead)


def _all_above(number: int, why: Sequence[set[int]]) -> set[int]:
    found, left = set[int](), [number]
    while left:
        more = why[left.pop()] - found
        found |= more
        left += more
    return found


def stage_of(symptom: Symptom) -> Stage:
    """The stage that a symptom belongs to: its id begins with it ("perf" is part of training)."""
    stages = {"build": Stage.BUILD, "setup": Stage.SETUP, "prep": Stage.PREPARATION}
    return stages.get(symptom.value.partition("-")[0], Stage.TRAINING)


def _diagnosis(rule: Rule, match: Match, role: Role, framework: str) -> Diagnosis:
    return Diagnosis(
        symptom=match.symptom,
        cause=rule.cause,
        code=rule.code,
        title=match.title,
        confidence=match.confidence,
        role=role,
        stage=stage_of(match.symptom),
        ranks=match.ranks,
        hosts=tuple(host for host in match.hosts if host),
        links=match.links,
        evidence=match.evidence,
        against=match.against,
        fixes=tuple(
            replace(f, frequency=f.frequency or frequency(match.symptom, f.pattern, framework)) for f in match.fixes
        ),
        confirm=how_to_confirm(rule.cause) if role is Role.ROOT else "",
    )


def _verdict(case: Case, diagnoses: tuple[Diagnosis, ...]) -> Verdict:
    flagged = _flagged(diagnoses)
    if case.origin is Origin.LIVE:
        return _verdict_of_live(case, diagnoses, flagged=flagged)
    if flagged:
        return Verdict.UNHEALTHY
    if case.origin is Origin.STATIC:
        return Verdict.HEALTHY
    if case.origin is Origin.LOG:
        # A log that tells of no end is not health; one that ends badly, with a weak candidate, is unhealthy.
        return Verdict.UNHEALTHY if diagnoses and case.ended is Ended.FAILED else Verdict.INCONCLUSIVE
    if case.ended is Ended.FINISHED and proven(case):
        return Verdict.HEALTHY
    if case.ended in (Ended.FAILED, Ended.STALLED):
        return Verdict.UNHEALTHY
    return Verdict.INCONCLUSIVE


def _verdict_of_live(case: Case, diagnoses: tuple[Diagnosis, ...], *, flagged: bool) -> Verdict:
    """Of a running job. One whose ranks have all come through their setup and move on has shown that its settings work,
    whatever a rule says of them; one that only stands still, without a cause that is known, may be about to go on."""
    if case.ended is Ended.RUNNING and all(r.last_phase and r.last_phase.phase in _FORMED for r in case.ranks):
        late = any(d.role is Role.ROOT and d.confidence >= FLAGGED and d.stage is Stage.TRAINING for d in diagnoses)
        return Verdict.UNHEALTHY if late else Verdict.HEALTHY if case.complete else Verdict.INCONCLUSIVE
    if flagged or case.ended is Ended.FAILED:
        return Verdict.UNHEALTHY
    return Verdict.INCONCLUSIVE


_FORMED = (Phase.FIRST_COLLECTIVE, Phase.VERIFY, Phase.STEADY)


def proven(case: Case) -> bool:
    """The world that was asked for really ran: every rank came through, values were compared and right, and an
    all-gather showed as many distinct processes as ranks."""
    if case.world is None or not case.ranks or not all(r.finished for r in case.ranks):
        return False
    if any(not check.ok for r in case.ranks for check in r.checks) or not all(r.checks for r in case.ranks):
        return False
    if case.origin is Origin.WORLD and len(case.ranks) != case.world.size:
        return False
    met = {id(r.members): r.members for r in case.ranks}  # ranks of a large world share one list
    return all(
        len(set(members)) == case.world.size and len({rank for rank, _ in members}) == case.world.size
        for members in met.values()
    )


def _unclassified(case: Case) -> Diagnosis:
    """The honest answer when it failed and no rule knows why."""
    evidence = []
    for r in case.ranks:
        last = r.last_phase
        if r.error is not None:
            text = f"{r.error.kind} in phase {r.error.phase.value}: {r.error.message.splitlines()[0] if r.error.message else ''}"
            evidence.append(Evidence(kind=EvidenceKind.LOG, rank=r.name, text=text))
        elif r.exit is not None and not r.exit.by_us and r.exit.code != 0:
            evidence.append(
                Evidence(kind=EvidenceKind.EXIT, rank=r.name, text=f"ended with {r.exit.code or r.exit.signal}")
            )
        elif last is not None and not r.finished:
            evidence.append(
                Evidence(kind=EvidenceKind.PHASE, rank=r.name, text=f"did not get beyond {last.phase.value}")
            )
    symptom = Symptom.SETUP_FAILURE if case.ended is Ended.FAILED else Symptom.SETUP_HANG_TIMEOUT
    return Diagnosis(
        symptom=symptom,
        cause="unclassified",
        code="CC000",
        title="It failed, and no known cause fits the evidence",
        confidence=0.0,
        role=Role.ROOT,
        stage=Stage.SETUP,
        ranks=tuple(e.rank for e in evidence if e.rank is not None),
        evidence=tuple(evidence),
    )
