"""A rank of the world was never started, or cannot be found.

**What you see.** Without rank 0: every client socket times out. Without another rank: rank 0 says after minutes
`Timed out ... waiting for clients. 1/2 clients joined`, the others wait in silence.

**Why it happens.** A host did not get its task, a launch script failed on one node, WORLD_SIZE counts a rank too many.

**How to fix.** Start the missing rank, or lower WORLD_SIZE to the ranks that there are.

**How to confirm.** Count the processes on each host; compare with WORLD_SIZE.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, in_phase, master_probe, names, started, world_failed
from commcheck.model.base import ranks_text, sentence
from commcheck.model.case import Case, Origin, Outcome, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.phase import Phase
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Numbers below the world size that no started process claims, once no further process can appear."""
    if case.world is None or not world_failed(case) or not started(case):
        return None
    return _of_our_world(case) if case.origin is Origin.WORLD else _of_theirs(case)


def _of_our_world(case: Case) -> Match | None:
    """commcheck started the ranks: who is not there is known."""
    assert case.world is not None
    there = started(case)
    size = case.world.size
    missing = tuple(sorted(set(range(size)) - {r.rank for r in there}))
    claims = {r.world_size for r in there if r.world_size is not None}
    if not missing and len(claims) == 1:
        # Everybody believes in a larger world than was started: the ranks beyond it are missing to them.
        missing = tuple(range(size, max(claims)))
    return _matched(case, missing, 0.9) if missing else None


def _of_theirs(case: Case) -> Match | None:
    """Others start the ranks. With several views it is known who never wrote one; a single rank knows whom it waits for."""
    assert case.world is not None
    there = started(case)
    if case.origin is Origin.LOG and any(r.phase(Phase.FIRST_COLLECTIVE) for r in there):
        return None  # the group was formed, and so all were there: who left no dump is another matter
    waited = {w for r in there for w in r.waits_for} - {r.rank for r in there}
    if len(there) > 1:
        missing = set(range(case.world.size)) - {r.rank for r in there}
        return (
            _matched(case, tuple(sorted(missing | waited)), 0.85 if case.complete else 0.4)
            if missing | waited
            else None
        )
    alone = there[0]
    if waited:
        return _matched(case, tuple(sorted(waited)), 0.8 if case.complete else 0.4)
    probe = master_probe(alone)
    refused = probe is not None and probe.outcome is Outcome.REFUSED
    if in_phase(alone, Phase.STORE) and alone.rank != 0 and refused:
        return _matched(case, (0,), 0.55 if case.complete else 0.4)
    if in_phase(alone, Phase.STORE) and alone.rank == 0:
        return _matched(case, (), 0.7 if case.complete else 0.35)
    return None


def _matched(case: Case, missing: tuple[int, ...], confidence: float) -> Match:
    assert case.world is not None
    there = started(case)
    seen: list[Evidence] = []
    for r in [r for r in there if in_phase(r, Phase.STORE) or in_phase(r, Phase.PROBE)][:6]:
        probe = master_probe(r)
        if 0 in missing and probe is not None and probe.outcome is Outcome.REFUSED:
            text = f"{probe.target} port {probe.port} refuses: nobody listens there"
            seen.append(evidence(EvidenceKind.PROBE, text, r, "own connection"))
        else:
            seen.append(evidence(EvidenceKind.PHASE, "waits for the others at the store", r))
            seen += _clients(r)
    size = max({r.world_size for r in there if r.world_size is not None} | {case.world.size})
    unheard = tuple(sorted(set(range(size)) - {r.rank for r in there}))
    who = sentence(missing, "is missing") if missing else f"Not all of the {size} ranks have come to the store"
    also = f"; no process claims {ranks_text(missing)}" if missing else ""
    if unheard and not missing:  # that one rank has not heard of them does not say which of them are missing
        also = f"; nothing was heard here of {ranks_text(unheard)}: some of them may be there"
    seen.append(evidence(EvidenceKind.FACT, f"{len(there)} of {size} ranks are known{also}"))
    start = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"start {ranks_text(missing)}: look at why its launch failed, or whether it waits on its host"
        if missing
        else f"see whether {ranks_text(unheard)} {'was' if len(unheard) == 1 else 'were'} started"
        if unheard
        else "see which rank was not started",
        not_tried="commcheck does not know how your launcher starts it",
        applies_to_ranks=missing,
    )
    smaller = _smaller(len(there), names(there), case) if case.origin is Origin.WORLD else ()
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=who,
        confidence=confidence,
        ranks=missing,
        evidence=tuple(seen),
        fixes=(start, *smaller),
        next=() if missing else _ask(there[0], case),
    )


def _ask(rank: RankRecord, case: Case) -> tuple[str, ...]:
    """How to hear all ranks, through what joins them already."""
    told = ["run it with --report-dir DIR on every rank: who leaves no report there is missing"]
    if case.origin is Origin.JOINED:
        told.insert(
            0,
            "run it with --report-to stdout on every rank, and give what the launcher prints to `commcheck diagnose -`: no "
            "directory need be shared, and a rank that says nothing there is missing",
        )
        if any(name.startswith("SLURM_") for name in rank.environment):
            told.insert(
                0,
                "in the batch script or under salloc, `commcheck preflight` starts the ranks by srun and hears them all",
            )
    return tuple(told)


def _clients(rank: RankRecord) -> list[Evidence]:
    """Who is connected to rank 0's store, from the kernel's table: rank 0 itself is one of them."""
    port = rank.environment.get("MASTER_PORT", "")
    clients = sorted({s.remote_address for s in rank.sockets if s.state == "ESTAB" and str(s.local_port) == port})
    if not clients:
        return []
    return [evidence(EvidenceKind.SOCKET, f"connected to its store: {', '.join(clients)}", rank, "/proc/net/tcp")]


def _smaller(count: int, present: tuple[int, ...], case: Case) -> tuple[Fix, ...]:
    """The world without them, where the ranks that are there already number from 0."""
    if present != tuple(range(count)) or case.world is None:
        return ()
    return (
        Fix(
            pattern=FixPattern.COMMUNICATION_CONFIGURATION,
            text=f"or go on with the ranks that are there: WORLD_SIZE={count}",
            set={"WORLD_SIZE": str(count)},
        ),
    )


RULE = Rule(
    cause="rank-missing",
    code="CC117",
    title="A rank was never started",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE, Symptom.PREP_HANG_TIMEOUT),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "start the missing rank, or lower WORLD_SIZE"),),
    match=match,
    explains=("store-timeout-too-short", "wrong-service-on-port"),
    needs=("ranks",),
)
