"""What NCCL's RAS says of a job -> matches of causes that there are already.

RAS knows which processes answer, and how many collectives each rank has issued. It does not know why: a process that has
ended looks like one that is stopped or cut off, so neither is called sure. And a job that works is in the middle of
something: one answer in which the ranks' counts differ proves nothing, two that are alike do (docs.nvidia.com, "RAS").

A communicator numbers its own ranks; they are the world's in one that spans the job, and of others where their processes are
in that one. What may not be here: I/O.
"""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.diagnose import ras_lost
from commcheck.diagnose.ingest.ras_text import STATUS
from commcheck.model.base import Value, ranks_text, sentence
from commcheck.model.case import Case, Origin
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.ras import Answer, Communicator, Member, Process, Said, Split
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Symptom

APART = 4.0
"""Seconds between two answers from which on a rank that has not moved is more than a little late."""
_DEAD, _LIKELIER, _OTHER = 0.62, 0.55, 0.4
_STUCK, _ALIKE, _LEFT, _ONCE = 0.75, 0.55, 0.5, 0.4
_LINES = 6
_STATES = frozenset({"rank-killed", "rank-stopped", "rank-crashed", "rank-exited", "rank-oom-killed", "script-error"})
"""What a look at the processes themselves says better."""
_ERRORS = {
    "Unhandled CUDA error": ("device-fault", 0.5, Symptom.TRAIN_DEVICE_ERROR),
    "System error": ("transport-unavailable", 0.4, Symptom.TRAIN_COMMUNICATION_ERROR),
    "Remote process error": ("rank-exited", 0.38, Symptom.TRAIN_COMMUNICATION_ERROR),
    "Invalid argument": ("process-group-misuse", 0.4, Symptom.TRAIN_COMMUNICATION_ERROR),
    "Invalid usage": ("process-group-misuse", 0.4, Symptom.TRAIN_COMMUNICATION_ERROR),
}
"""NCCL's codes tell the kind of call that failed, and no more: as `signatures.nccl` weighs them."""


class Told(Value, frozen=True):
    """A cause that RAS's answers speak for."""

    cause: str
    match: Match


def undecided(answers: tuple[Answer, ...]) -> bool:
    """Whether another answer, some seconds later, would tell a standstill from work."""
    last = answers[-1] if answers else Answer(source="")
    lost = last.dead_count + last.silent_count
    return not lost and not last.failed and any(s.what != STATUS for c in last.communicators for s in c.splits)


def moving(answers: tuple[Answer, ...]) -> bool:
    """Whether ranks of a communicator have issued collectives from one answer to another."""
    counted: dict[str, set[int]] = {}
    for answer in answers:
        for one in answer.communicators:
            if one.issued is not None and not one.silent_count:
                counted.setdefault(one.identity, set()).add(one.issued)
    return any(len(counts) > 1 for counts in counted.values())


def formed(answers: tuple[Answer, ...]) -> frozenset[int]:
    """The processes of communicators that have come through their setup; those that are silent now as well."""
    return frozenset(
        m.process.pid
        for answer in answers
        for one in answer.communicators
        if one.status and one.status != "INIT"
        for m in (*one.members, *one.silent)
        if m.process is not None
    )


def told(case: Case) -> tuple[Told, ...]:
    """What the case's answers show; nothing where ranks are lost and the evidence from elsewhere says how."""
    if not case.ras:
        return ()
    answer = case.ras[-1]
    names = _Names(case, case.ras)
    found = [*_lost(answer, names, waited=_waited(case.ras)), *_errors(answer, names)]
    return tuple(found or _behind(case, names))


def among(case: Case, known: frozenset[str]) -> tuple[Told, ...]:
    """As `told`, beside causes that other evidence has shown already."""
    if known and case.origin in (Origin.WORLD, Origin.JOINED):
        return ()  # of these more is known than RAS can tell
    found = told(case)
    if known & _STATES:
        found = tuple(one for one in found if one.cause not in _STATES | {"collective-missing-rank"})
    return tuple(one for one in found if one.cause not in known)


class _Names:
    """From a communicator's ranks to the world's."""

    def __init__(self, case: Case, answers: tuple[Answer, ...]) -> None:
        spanning = [(c, a) for a in answers for c in a.communicators if a.whole and c.size == a.whole]
        self._whole = {c.identity for c, _ in spanning}
        self._in_whole = {m.process: m.rank for c, _ in spanning for m in c.members if m.process is not None}
        own = {p for a in answers for p in a.members}
        alone = len({p.pid for p in own}) == len(own)  # hosts number their processes independently
        self._by_pid = {r.pid: r.rank for r in case.ranks if alone and r.pid is not None and r.rank is not None}

    def of(self, communicator: Communicator, members: tuple[Member, ...]) -> tuple[int, ...]:
        """The world's numbers of some ranks, as far as they are known."""
        whole = communicator.identity in self._whole
        found = (m.rank if whole else self.process(m.process) for m in members)
        return tuple(sorted({rank for rank in found if rank is not None}))

    def processes(self, processes: tuple[Process, ...]) -> tuple[int, ...]:
        """The ranks of some processes, as far as they are known."""
        return tuple(sorted({rank for p in processes if (rank := self.process(p)) is not None}))

    def process(self, process: Process | None) -> int | None:
        """The rank of a process."""
        if process is None:
            return None
        found = self._by_pid.get(process.pid)
        return self._in_whole.get(process) if found is None else found


def _seen(answer: Answer, said: Said) -> Evidence:
    """A piece of an answer; one without a line of its own is what was made of it."""
    kind = EvidenceKind.LOG if said.line else EvidenceKind.FACT
    return Evidence(kind=kind, text=said.text, source=answer.source, line=said.line or None)


# --- who does not answer -----------------------------------------------------------------------------------------


def _waited(answers: tuple[Answer, ...]) -> bool:
    """Whether RAS has waited in vain for those that are silent now. A connection that breaks is noticed at once; nobody
    breaks that of a process that is stopped or behind a cut, and RAS waits for such a one when it is asked first."""
    silent = set(answers[-1].silent)
    return any(a.timeouts > 0 and (silent & set(a.silent) or a is answers[-1]) for a in answers)


def _lost(answer: Answer, names: _Names, *, waited: bool) -> list[Told]:
    """Processes without a sign of life. RAS has a thread of its own in each, which a busy program does not hold up."""
    count = answer.dead_count + answer.silent_count
    if not count:
        return []
    lost = (*answer.dead, *answer.silent)
    ranks = names.processes(lost)
    for one in answer.communicators:
        ranks = tuple(sorted({*ranks, *names.of(one, one.silent)}))
    forming = bool(answer.communicators) and all(c.status == "INIT" for c in answer.communicators)
    what = "is considered dead by NCCL's RAS" if answer.dead_count else "does not answer NCCL's RAS"
    who = sentence(ranks, what) if ranks else f"{count} process(es) of the job: {what.partition(' ')[2]}"
    seen = (*answer.said, *(s for c in answer.communicators for s in c.said))
    evidence = tuple(_seen(answer, s) for s in seen[:_LINES])
    in_vain = _seen(answer, Said(text=f"{answer.timeouts} time-outs while the others were asked"))
    hosts = tuple(dict.fromkeys(p.host for p in lost))[:_LINES]
    hangs = Symptom.SETUP_HANG_TIMEOUT if forming else Symptom.PERF_HANG
    fails = Symptom.SETUP_FAILURE if forming else Symptom.TRAIN_COMMUNICATION_ERROR
    if len(answer.traces) == len(lost) == count:
        looked = ras_lost.causes(answer.traces, ranks, evidence, hangs=hangs, fails=fails)
        if looked:
            return [Told(cause=cause, match=one) for cause, one in looked]
    still = waited and not answer.dead_count
    ended, stopped = (_OTHER, _LIKELIER) if still else (_DEAD if answer.dead_count else _LIKELIER, _OTHER)
    where = " ".join(f"{p.pid} on {p.host}," for p in lost[:_LINES]).rstrip(",") or "those that are missing"
    look = f"look at process {where}: `ps -o pid,stat,wchan,cmd -p PID`; T is stopped, nothing is gone; and whether its host answers"

    def match(confidence: float, symptom: Symptom, against: str) -> Match:
        return Match(
            symptom=symptom,
            title=who,
            confidence=confidence,
            ranks=ranks,
            hosts=hosts,
            evidence=(*evidence, *([in_vain] if answer.timeouts else [])),
            against=(Evidence(kind=EvidenceKind.FACT, text=against),),
            fixes=_fixes(ranks),
            next=(look,),
        )

    return [
        Told(cause="rank-killed", match=match(ended, fails, "one that is stopped, or cut off, looks the same to RAS")),
        Told(
            cause="rank-stopped",
            match=match(stopped, hangs, "one that has ended, or is cut off, looks the same to RAS"),
        ),
    ]


def _fixes(ranks: tuple[int, ...]) -> tuple[Fix, ...]:
    return (
        Fix(
            pattern=FixPattern.BEHAVIOR_LOGIC,
            text="look at the last output of this process, and at what the scheduler and the kernel say of its end",
            applies_to_ranks=ranks,
            not_tried="it is a look at the machine",
        ),
    )


# --- what NCCL has noted -----------------------------------------------------------------------------------------


def _errors(answer: Answer, names: _Names) -> list[Told]:
    by_cause: dict[str, Told] = {}
    for one in answer.communicators:
        for failure in one.failures:
            cause, confidence, symptom = _ERRORS.get(
                failure.error, ("transport-unavailable", 0.3, Symptom.TRAIN_COMMUNICATION_ERROR)
            )
            # What a rank says of a remote end blames nobody yet.
            ranks = () if cause == "rank-exited" else names.of(one, failure.members)
            before = by_cause.get(cause)
            seen = _seen(answer, failure.said)
            known = before.match if before else None
            ranks = tuple(sorted({*ranks, *(known.ranks if known else ())}))
            by_cause[cause] = Told(
                cause=cause,
                match=Match(
                    symptom=symptom,
                    title=f"NCCL has noted an error: {failure.error}{f' on {ranks_text(ranks)}' if ranks else ''}",
                    confidence=confidence,
                    ranks=ranks,
                    evidence=(*(known.evidence if known else ()), seen)[:_LINES],
                    next=(
                        f"the NCCL WARN lines of {ranks_text(ranks) or 'that rank'}: they say which call failed, and why",
                    ),
                ),
            )
    return list(by_cause.values())


# --- who is behind -----------------------------------------------------------------------------------------------


def _behind(case: Case, names: _Names) -> list[Told]:
    """Ranks that have issued fewer collectives than the others of their communicator, and issue none."""
    last = case.ras[-1]
    found: list[Told] = []
    for one in last.communicators:
        splits = tuple(s for s in one.splits if s.what != STATUS)
        earlier = _earlier(case.ras, one)
        if earlier is not None and _state(earlier[1]) != _state(one):
            continue
        confidence = _ONCE
        if earlier is not None:
            apart = (last.seconds or 0.0) - (earlier[0].seconds or 0.0)
            told_when = last.seconds is not None and earlier[0].seconds is not None
            confidence = _STUCK if told_when and apart >= APART else _ALIKE
        if splits:
            found.append(_who_is_behind(case, last, one, splits, names, confidence))
        elif earlier is not None:
            found += _who_has_left(last, one, names)
    return sorted(found, key=lambda one: -one.match.confidence)[:1]


def _earlier(answers: tuple[Answer, ...], one: Communicator) -> tuple[Answer, Communicator] | None:
    """The same communicator in the first answer from which on it has not moved, or else in the one before."""
    found: tuple[Answer, Communicator] | None = None
    for answer in reversed(answers[:-1]):
        before = next((c for c in answer.communicators if c.identity == one.identity), None)
        if before is None or (found is not None and _state(before) != _state(one)):
            break
        found = (answer, before)
    return found


def _state(one: Communicator) -> frozenset[tuple[str, str, int]]:
    return frozenset((s.what, g.value, g.count) for s in one.splits for g in s.groups)


def _who_is_behind(
    case: Case, answer: Answer, one: Communicator, splits: tuple[Split, ...], names: _Names, confidence: float
) -> Told:
    late = [_late(s, one) for s in splits]
    ahead = [tuple(m for g in s.groups if int(g.value) == _most(s) for m in g.members) for s in splits]
    # Of one kind a rank has issued more than others, of another kind fewer: they call different things.
    crossed = len(splits) > 1 and any(
        {m.rank for m in a} & {m.rank for m in b} for n, a in enumerate(ahead) for b in late[n + 1 :] + late[:n]
    )
    members = tuple({m.rank: m for group in late for m in group}.values())
    ranks = () if crossed else names.of(one, members)
    ops = ", ".join(s.what or "collectives" for s in splits)
    if crossed:
        title = f"Ranks of {one.name} call different collectives ({ops})"
    elif ranks:
        title = sentence(ranks, f"has issued fewer collectives than the others ({ops})")
    elif members:
        who = ranks_text(m.rank for m in members).capitalize()
        title = f"{who} of {one.name}, which numbers them anew: fewer collectives than its others ({ops})"
    else:
        title = f"Some ranks of {one.name} have issued fewer collectives than the others ({ops})"
    seen = [_seen(answer, s.said) for s in splits]
    seen += [_seen(answer, Said(text=_counts(s))) for s in splits if s.said.line]
    if confidence > _ONCE:
        seen.append(
            Evidence(
                kind=EvidenceKind.FACT,
                text="an earlier answer shows the same numbers: no collective was issued in between",
            )
        )
    again = "ask again in some seconds (`ncclras -v`) and give both answers: only numbers that stay the same show a standstill"
    return Told(
        cause="collective-order-mismatch" if crossed else "collective-missing-rank",
        match=Match(
            symptom=Symptom.PERF_HANG,
            title=title,
            confidence=confidence,
            ranks=ranks,
            evidence=tuple(seen[:_LINES]),
            against=()
            if confidence > _ONCE
            else (Evidence(kind=EvidenceKind.FACT, text="a job that works is seen like this too, between two steps"),),
            next=() if confidence > _ONCE else (again,),
        ),
    )


def _who_has_left(answer: Answer, one: Communicator, names: _Names) -> list[Told]:
    """Ranks that have given a communicator up which the others go on with, and that for a while."""
    for split in one.splits:
        by_status = {g.value: g for g in split.groups} if split.what == STATUS else {}
        left = by_status.get("NOCOMM")
        if left is None or "RUNNING" not in by_status:
            continue
        ranks = names.of(one, left.members)
        who = sentence(ranks, "has") if ranks else f"{left.count} rank(s) have"
        match = Match(
            symptom=Symptom.PERF_HANG,
            title=f"{who} left {one.name}, and others of it have not",
            confidence=_LEFT,
            ranks=ranks,
            evidence=(_seen(answer, split.said), _seen(answer, Said(text=_counts(split)))),
            against=(Evidence(kind=EvidenceKind.FACT, text="the others may be about to leave it too"),),
            next=(
                f"what {ranks_text(ranks) or 'those ranks'} did last: whether the program, or an exception, ended its part",
            ),
        )
        return [Told(cause="collective-missing-rank", match=match)]
    return []


def _counts(split: Split) -> str:
    groups = (
        f"{group.count} rank(s) at {group.value}{f' ({ranks_text(m.rank for m in group.members)})' if group.members else ''}"
        for group in split.groups
    )
    return f"{split.what or 'collectives'}: {', '.join(groups)}"


def _most(split: Split) -> int:
    return max(int(g.value) for g in split.groups)


def _late(split: Split, one: Communicator) -> tuple[Member, ...]:
    """Who is behind: those that are named so, or all but those that are named as the first."""
    most = _most(split)
    behind = [g for g in split.groups if int(g.value) < most]
    if all(len(g.members) == g.count for g in behind):
        return tuple(m for g in behind for m in g.members)
    first = {m.rank for g in split.groups if int(g.value) == most for m in g.members}
    whole = sum(g.count for g in split.groups)
    if whole == one.size and len(first) == whole - sum(g.count for g in behind):
        return tuple(Member(rank=r) for r in range(one.size) if r not in first)
    return ()


# --- in words ----------------------------------------------------------------------------------------------------


def account(case: Case) -> tuple[str, ...]:
    """How the last answer shows the job, for a report's reader."""
    if not case.ras:
        return ()
    answer = case.ras[-1]
    parts = []
    if answer.dead_count:
        parts.append(f"{answer.dead_count} process(es) dead")
    if answer.silent_count:
        parts.append(f"{answer.silent_count} silent")
    for one in answer.communicators[:3]:
        size = f" of {one.size} ranks" if one.size else ""
        state = f": {one.status}" if one.status else ""
        counts = "; ".join(_counts(s) for s in one.splits[:3])
        parts.append(f"{one.name}{size}{state}{f'; {counts}' if counts else ''}")
    version = f" {answer.version}" if answer.version else ""
    if moving(case.ras):
        parts.append("collectives were issued since the first")
    which = f"the last of {len(case.ras)} answers" if len(case.ras) > 1 else "one answer"
    return (f"RAS of NCCL{version}, {which}: {'; '.join(parts) or 'nothing amiss'}",)


def rule_fixes(rule: Rule, match: Match) -> Match:
    """A match with its rule's general repairs, where it has none of its own."""
    fixes = tuple(Fix(pattern=pattern, text=text, applies_to_ranks=match.ranks) for pattern, text in rule.fixes)
    return match if match.fixes else replace(match, fixes=fixes)
