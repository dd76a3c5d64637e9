"""The calls that the ranks issued, aligned: where they first differ, and who deviates. Shared by the rules. Pure.

The rank that reports the error need not be the guilty one: gloo aborts the process that notices, and the guilty one
sees a reset connection. What each rank *called* decides."""

from __future__ import annotations

from msgspec.structs import replace

from commcheck.diagnose.view import died, evidence, names, said, started, symptom_in
from commcheck.model.base import Value, ranks_text, remembered, sentence
from commcheck.model.case import Case, Collective, RankRecord, call_signature
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.phase import Phase
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

STEP = "training_step"
"""How a workload records a step of its epoch, whose gradients are exchanged."""


def signature(call: Collective) -> str:
    """What must agree between ranks, in the words of the workload."""
    return call_signature(call.op, call.shape[0] if call.shape else 0, call.dtype, call.reduce_op)


class Difference(Value, frozen=True):
    """The first place where the ranks' calls differ. `kind`: "op", "shape", "dtype", "reduce-op", "skipped", "order",
    "batches" where some ranks make one more step of training and the others have come to what follows the epoch."""

    index: int
    kind: str
    guilty: tuple[RankRecord, ...]
    innocent: tuple[RankRecord, ...]


@remembered
def difference(case: Case) -> Difference | None:
    """Compare all ranks that came to their collectives."""
    ranks = tuple(r for r in started(case) if r.collectives)
    if len(ranks) < 2:
        return None
    longest = max(len(r.collectives) for r in ranks)
    for index in range(longest):
        calls = {r.slot: r.collectives[index] for r in ranks if index < len(r.collectives)}
        signatures = {slot: signature(c) for slot, c in calls.items()}
        if len(set(signatures.values())) > 1:
            guilty = _guilty(ranks, calls, signatures)
            return _described(index, ranks, guilty, calls)
    return None


def _guilty(
    ranks: tuple[RankRecord, ...], calls: dict[int, Collective], signatures: dict[int, str]
) -> tuple[RankRecord, ...]:
    """Who deviates from what the workload asks for at this place; without a workload, the minority; in a tie, all."""
    # A rank whose n-th call is not of the program's n-th step has left something out, or added it.
    astray = tuple(r for r in ranks if r.slot in calls and _astray(calls[r.slot]))
    if astray and len(astray) < len(calls):
        return astray
    counted = list(signatures.values())
    asked = [c.expected for c in calls.values() if c.expected]
    if asked:
        # A rank that left out a step is one ahead in what it was asked for: the majority's request is the reference.
        right = max(
            sorted(set(asked)), key=lambda s: (asked.count(s), counted.count(s), s in _first_asked(ranks, calls))
        )
        wrong = tuple(
            r for r in ranks if r.slot in calls and (signatures[r.slot] != right or calls[r.slot].expected != right)
        )
        if wrong and len(wrong) < len(calls):
            return wrong
    most = max(sorted(set(counted)), key=counted.count)
    if counted.count(most) * 2 > len(counted):
        return tuple(r for r in ranks if r.slot in calls and signatures[r.slot] != most)
    return tuple(r for r in ranks if r.slot in calls)


def _astray(call: Collective) -> bool:
    return call.place is not None and call.place != call.index


def _first_asked(ranks: tuple[RankRecord, ...], calls: dict[int, Collective]) -> tuple[str, ...]:
    """What the rank with the most calls was asked for: in a tie it has left out nothing."""
    most = max(
        (r for r in ranks if r.slot in calls), key=lambda r: sum(1 for c in r.collectives if c.expected == signature(c))
    )
    return (calls[most.slot].expected,)


def _described(
    index: int, ranks: tuple[RankRecord, ...], guilty: tuple[RankRecord, ...], calls: dict[int, Collective]
) -> Difference:
    deviating = {r.slot for r in guilty}
    innocent = tuple(r for r in ranks if r.slot in calls and r.slot not in deviating)
    kind = "op"
    if guilty and innocent:
        mine, theirs = calls[guilty[0].slot], calls[innocent[0].slot]
        if (mine.op == STEP) != (theirs.op == STEP):
            fewer = tuple(r for r in ranks if r.slot in calls and calls[r.slot].op != STEP)
            more = tuple(r for r in ranks if r.slot in calls and calls[r.slot].op == STEP)
            return Difference(index=index, kind="batches", guilty=fewer, innocent=more)
        kind = _moved(guilty[0].collectives, innocent[0].collectives, index) or _part(mine, theirs)
    elif guilty:
        # As many call the one as call the other, so that nobody can be said to deviate.
        mine = calls[guilty[0].slot]
        kind = _part(mine, next(c for c in calls.values() if signature(c) != signature(mine)))
    return Difference(index=index, kind=kind, guilty=guilty, innocent=innocent)


def _moved(mine: tuple[Collective, ...], theirs: tuple[Collective, ...], index: int) -> str:
    """`order` where the rank makes up later for what it left out here; `skipped` where it is at another step of the
    program than the others and has not. Empty where it is at the same step."""
    later = [signature(c) for c in mine[index + 1 :]]
    ahead = mine[index].expected != theirs[index].expected
    if index + 1 < len(theirs) and not ahead:
        ahead = signature(mine[index]) == signature(theirs[index + 1])
    if not ahead:
        return ""
    return "order" if later and later[0] == signature(theirs[index]) else "skipped"


def _part(mine: Collective, theirs: Collective) -> str:
    """Which part of two calls differs first."""
    if mine.op != theirs.op:
        return "op"
    if mine.shape != theirs.shape:
        return "shape"
    return "dtype" if mine.dtype != theirs.dtype else "reduce-op"


def behind(case: Case) -> tuple[RankRecord, ...]:
    """Ranks that have issued fewer calls than the others, are alive, and are not inside a call: nobody waits for them
    in vain more than the others do."""
    ranks = [r for r in started(case) if r.phase(Phase.FIRST_COLLECTIVE) is not None]
    if len(ranks) < 2 or difference(case) is not None:
        return ()
    most = max(len(r.collectives) for r in ranks)
    waiting = [r for r in ranks if r.collectives and len(r.collectives) == most and not r.collectives[-1].done]
    late = tuple(
        r
        for r in ranks
        if len(r.collectives) < most
        and (not r.collectives or r.collectives[-1].done)
        and not died(r)
        and r.error is None
    )
    return late if waiting else ()


def matched(case: Case, found: Difference, what: str, pattern: FixPattern, advice: str) -> Match:
    """The match of a difference. The symptom is what the world showed: an error, a standstill, or wrong values."""
    seen: list[Evidence] = []
    for r in (*found.guilty[:4], *found.innocent[:3]):
        call = r.collectives[found.index]
        apart = bool(found.innocent) and r not in found.innocent
        role = ", where the others call something else" if apart else ""
        seen.append(evidence(EvidenceKind.PHASE, f"call {call.index} is {signature(call)}{role}", r, "journal"))
    for r in case.ranks:
        if r.exit is not None and r.exit.signal == 6 and not r.exit.by_us:
            line = said(r, "EnforceNotMet", "enforce fail", "mismatch")
            text = f"aborted because it noticed: {line.strip()[:400]}" if line else "aborted"
            seen.append(evidence(EvidenceKind.EXIT, text, r))
        elif r.error is not None and r.error.message:
            seen.append(evidence(EvidenceKind.LOG, r.error.message.splitlines()[0][:400], r, "consequence"))
    wrong = [c for r in case.ranks for c in r.checks if not c.ok]
    seen += [Evidence(kind=EvidenceKind.VALUE, text=c.detail) for c in wrong[:2]]
    ranks = names(found.guilty)
    return Match(
        symptom=_symptom(case, found),
        title=sentence(ranks, what),
        confidence=0.95 if found.innocent else 0.8,
        ranks=ranks,
        hosts=tuple(dict.fromkeys(r.host for r in found.guilty)),
        evidence=tuple(seen),
        fixes=(Fix(pattern=pattern, text=advice, applies_to_ranks=ranks, not_tried="it is a change of the program"),),
    )


def _disagreement(found: Difference) -> str:
    """Who calls what, where nobody has the majority."""
    calls: dict[str, list[RankRecord]] = {}
    for rank in found.guilty:
        calls.setdefault(signature(rank.collectives[found.index]), []).append(rank)
    return "; ".join(
        sentence(names(ranks), f"calls {call}") if not number else f"{ranks_text(names(ranks))} {call}"
        for number, (call, ranks) in enumerate(calls.items())
    )


def _symptom(case: Case, found: Difference) -> Symptom:
    phase = found.guilty[0].collectives[found.index].phase if found.guilty else Phase.VERIFY
    broke = any(
        (r.error is not None or (r.exit is not None and not r.exit.by_us and r.exit.code != 0)) for r in case.ranks
    )
    if broke:
        return symptom_in(phase, hang=False)
    if any(not r.finished for r in case.ranks):
        return symptom_in(phase, hang=True)
    return Symptom.PERF_UNEXPECTED_RESULT


def mismatch_rule(
    *,
    cause: str,
    code: str,
    title: str,
    kinds: tuple[str, ...],
    says: str,
    pattern: FixPattern,
    advice: str,
    shows: tuple[Symptom, ...] = (),
) -> Rule:
    """The rule for the first difference being of one of `kinds`. `says`: what the guilty rank does, with {mine} and
    {theirs} for the calls. `shows`: the symptoms besides those of all such rules."""

    def match(case: Case) -> Match | None:
        found = difference(case)
        if found is None or found.kind not in kinds:
            return None
        mine = signature(found.guilty[0].collectives[found.index])
        if not found.innocent:
            return replace(matched(case, found, "", pattern, advice), title=_disagreement(found))
        theirs = signature(found.innocent[0].collectives[found.index])
        return matched(case, found, says.format(mine=mine, theirs=theirs), pattern, advice)

    return Rule(
        cause=cause,
        code=code,
        title=title,
        stage=Stage.TRAINING,
        symptoms=(
            Symptom.TRAIN_COMMUNICATION_ERROR,
            Symptom.PREP_COMMUNICATION_ERROR,
            Symptom.PERF_UNEXPECTED_RESULT,
            *shows,
        ),
        fixes=((pattern, advice),),
        match=match,
        explains=("wrong-values", "rank-crashed", "collective-missing-rank", "rank-exited"),
        needs=("ranks",),
    )
