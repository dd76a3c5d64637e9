"""The ranks were told different ports for the store.

**What you see.** Rank 0 waits for clients that never come; the others report `The client socket has timed out ... while
trying to connect`, the same sentence as for a firewall, an absent rank 0 or a wrong host.

**Why it happens.** MASTER_PORT is set per host or per task (a random port drawn on every node, two launch scripts).

**How to fix.** Give every rank the MASTER_PORT of rank 0.

**How to confirm.** Print MASTER_PORT on every rank; the port that differs is the one on which nobody listens.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, rank_zero, started, store_listens
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Different valid ports in the ranks' environments."""
    using = [r for r in started(case) if r.init_method == "env://"]
    ports = {r.slot: r.environment.get("MASTER_PORT", "") for r in using}
    valid = {p for p in ports.values() if p.isdigit() and 0 < int(p) < 65536}
    if len(valid) < 2:
        return None
    zero = rank_zero(case)
    right = ports[zero.slot] if zero is not None and ports.get(zero.slot) in valid else _most(tuple(ports.values()))
    wrong = [r for r in using if ports[r.slot] in valid and ports[r.slot] != right]
    if not wrong:
        return None
    # Where all others agree, it is rank 0 that was told another port than the job.
    odd = (
        zero is not None
        and len(wrong) > 1
        and len(wrong) == len(using) - 1
        and len({ports[r.slot] for r in wrong}) == 1
    )
    seen = [evidence(EvidenceKind.FACT, f"MASTER_PORT={ports[r.slot]}", r, "environment") for r in wrong[:8]]
    if zero is not None:
        seen.append(evidence(EvidenceKind.FACT, f"MASTER_PORT={right}", zero, "environment"))
        if store_listens(case):
            seen.append(evidence(EvidenceKind.SOCKET, f"listens on port {right}", zero, "/proc/net/tcp"))
    shown = ", ".join(sorted({ports[r.slot] for r in wrong}))
    blamed = [zero] if odd and zero is not None else wrong
    meant, whom = (shown, "rank 0 the port of the others") if odd else (right, "every rank the store's port")
    fix = Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"give {whom}: MASTER_PORT={meant}",
        set={"MASTER_PORT": meant},
        applies_to_ranks=names(blamed),
    )
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=f"MASTER_PORT is {right} on rank 0, and {shown} on all others"
        if odd
        else f"MASTER_PORT is {shown} on {ranks_text(names(wrong))}, but the store is on port {right}",
        confidence=0.97,
        ranks=names(blamed),
        hosts=tuple(dict.fromkeys(r.host for r in blamed)),
        evidence=tuple(seen),
        fixes=(fix,),
    )


def _most(values: tuple[str, ...]) -> str:
    return max(sorted(set(values)), key=values.count)


RULE = Rule(
    cause="port-mismatch",
    code="CC110",
    title="Ranks were told different ports for the store",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "give every rank the MASTER_PORT of rank 0"),),
    match=match,
    explains=(
        "port-refused",
        "port-dropped",
        "rank-missing",
        "wrong-service-on-port",
        "env-differs-between-ranks",
        "port-in-use",
        "stale-store",
        "route-missing",
    ),
    needs=("ranks",),
)
