"""What the rules of this folder share: whose settings there are to judge, and how they speak of them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from commcheck.catalog.env.select import REMOVED
from commcheck.model.base import ranks_text
from commcheck.model.case import Case, Ended, Origin, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.phase import Phase, PhaseStatus
from commcheck.model.taxonomy import Symptom

REQUIRED: tuple[str, ...] = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")
"""What `init_method="env://"` reads; an empty value counts as not set (torch/distributed/rendezvous.py)."""

DEFAULT_PORT = "29500"
"""The port that torchrun takes when it is told none; 1 to 65535 would do."""

HERE = "\0"
"""Where a finding's title wants its ranks; no variable's value can hold this character."""

CERTAIN = 0.95
WORKS_ANYWAY = 0.3
"""What a bad setting is worth as an explanation once the rank that has it came through."""


class Seen(NamedTuple):
    """The settings of one process. `rank` is None for this process itself (lint)."""

    rank: int | None
    environment: Mapping[str, str]
    record: RankRecord | None = None

    def value(self, name: str) -> str | None:
        """The value, or None when it is not set or was removed as a secret."""
        value = self.environment.get(name)
        return None if value == REMOVED else value

    @property
    def finished(self) -> bool:
        """The process came through, so no setting of its own stopped it."""
        return self.record is not None and self.record.finished

    @property
    def met_store(self) -> bool:
        """The process got through its rendezvous, so it had an address, a port, a rank and a size from somewhere."""
        phase = self.record.phase(Phase.STORE) if self.record else None
        return phase is not None and phase.status is PhaseStatus.OK

    @property
    def who(self) -> str:
        """How to speak of the process: "rank 3", or "here" for this one."""
        return "here" if self.rank is None else f"rank {self.rank}"


def seen(case: Case) -> tuple[Seen, ...]:
    """The settings of every process of the case that has any: this one's for lint, else every rank's."""
    if case.origin is Origin.STATIC:
        return (Seen(None, case.environment),) if case.environment else ()
    return tuple(Seen(r.name, r.environment, r) for r in case.ranks if r.environment)


def integer(text: str | None) -> int | None:
    """The number that Python's int() reads, or None."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def common(values: Iterable[str | None]) -> str | None:
    """The value that most have (the smaller on a tie), leaving out None and ""; None when there is none."""
    tally: dict[str, int] = {}
    for value in values:
        if value:
            tally[value] = tally.get(value, 0) + 1
    return min(tally, key=lambda v: (-tally[v], v)) if tally else None


def world_size(case: Case) -> int | None:
    """How many ranks the world is meant to have: as it was asked for, else what most of its processes say."""
    if case.world is not None:
        return case.world.size
    return integer(common(s.value("WORLD_SIZE") for s in seen(case)))


def free_rank(case: Case, besides: int | None) -> int | None:
    """The one rank number that no process but the one in slot `besides` claims; None when not exactly one is free."""
    size = world_size(case)
    if size is None or size < 1 or len(case.ranks) != size:
        return None
    taken = {integer(r.environment.get("RANK")) for r in case.ranks if r.slot != besides}
    free = [n for n in range(size) if n not in taken]
    return free[0] if len(free) == 1 else None


def fact(name: str, value: str | None, who: Seen, remark: str = "") -> Evidence:
    """What a variable was, as evidence."""
    shown = f"{name} is not set" if value is None else f"{name}={value}"
    return Evidence(
        kind=EvidenceKind.FACT, text=f"{shown}: {remark}" if remark else shown, rank=who.rank, source="environment"
    )


def errors(who: Seen) -> Iterator[Evidence]:
    """The exception that ended the rank, if one did."""
    if who.record is not None and who.record.error is not None:
        first = who.record.error.message.partition("\n")[0]
        yield Evidence(
            kind=EvidenceKind.LOG, text=f"{who.record.error.kind}: {first}", rank=who.rank, source="exception"
        )


def failed(case: Case) -> bool:
    """The world was tried and did not come through."""
    return case.ended in (Ended.FAILED, Ended.STALLED, Ended.DEADLINE)


def ranks_of(found: Iterable[Seen]) -> tuple[int, ...]:
    """The ranks concerned, sorted, each once; none for lint."""
    return tuple(sorted({s.rank for s in found if s.rank is not None}))


def where(found: Iterable[Seen]) -> str:
    """The end of a sentence, as in " on rank 1" or " on ranks 1, 2"; empty for lint."""
    ranks = ranks_of(found)
    return f" on {ranks_text(ranks)}" if ranks else ""


class Finding(NamedTuple):
    """One thing that a rule found; a rule's match is all of them, with the surest in front."""

    who: Seen
    title: str
    confidence: float
    evidence: tuple[Evidence, ...]
    fixes: tuple[Fix, ...]
    symptom: Symptom


def match_of(findings: list[Finding]) -> Match | None:
    """The findings as one match: title, symptom and confidence of the surest, evidence and fixes of all.

    Findings with the same title are one thing seen on several ranks. None when there are none."""
    if not findings:
        return None
    findings.sort(key=lambda f: (-f.confidence, f.title))  # stable: ranks stay in order
    lead = findings[0]
    same = [f for f in findings if f.title == lead.title]
    others = sorted({f.title for f in findings if f.title != lead.title})
    serious = [f for f in findings if f.confidence >= min(lead.confidence, 0.5)]
    title = _placed(lead.title, where(f.who for f in same))
    if others:
        title += f" (and {len(others)} more)" if len(others) > 1 else f"; also: {_placed(others[0], '')}"
    return Match(
        symptom=lead.symptom,
        title=title,
        confidence=lead.confidence,
        ranks=ranks_of(f.who for f in serious),
        hosts=tuple(dict.fromkeys(f.who.record.host for f in serious if f.who.record is not None)),
        evidence=tuple(dict.fromkeys(e for f in findings for e in f.evidence))[:40],
        fixes=_merged(tuple(f for finding in findings for f in finding.fixes)),
    )


def _placed(title: str, ranks: str) -> str:
    """The title with the ranks where it wants them: at `HERE`, else at its end."""
    return title.replace(HERE, ranks) if HERE in title else title + ranks


def _merged(fixes: tuple[Fix, ...]) -> tuple[Fix, ...]:
    """Fixes that differ only in the ranks they are for become one."""
    done: list[Fix] = []
    for fix in fixes:
        for i, other in enumerate(done):
            if (fix.text, fix.set, fix.unset, fix.args) == (other.text, other.set, other.unset, other.args):
                done[i] = _joined(other, fix)
                break
        else:
            done.append(fix)
    return tuple(done)


def _joined(left: Fix, right: Fix) -> Fix:
    everyone = bool(left.applies_to_ranks) and bool(right.applies_to_ranks)
    return Fix(
        pattern=left.pattern,
        text=left.text,
        set=left.set,
        unset=left.unset,
        args=left.args,
        commands=left.commands,
        rank_set={**left.rank_set, **right.rank_set},
        applies_to_ranks=tuple(sorted({*left.applies_to_ranks, *right.applies_to_ranks})) if everyone else (),
    )
