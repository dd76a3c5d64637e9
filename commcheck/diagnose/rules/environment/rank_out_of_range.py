"""A rank's number is not one of 0 to WORLD_SIZE - 1.

**What you see**

No range check: the process tries to connect to a store that the missing rank should have opened, and after the store's
time is up reports `The client socket has timed out after 6000ms while trying to connect to (host, port)`. When rank 0
is there, the store fills, and gloo ends with `[enforce fail at ... context.cc] rank < size`. The others report
`1/2 clients joined` or wait for keys of the missing rank.

**Why it happens**

RANK was counted from 1, taken from another job's numbering, multiplied twice (node number times processes per host, on
top of a global number), or WORLD_SIZE counts hosts where RANK counts processes.

**How to fix**

Give every process its own number from 0 to WORLD_SIZE - 1, without gaps, or correct WORLD_SIZE.

**How to confirm**

`commcheck lint` on the process's own environment; with `commcheck preflight` the report lists which numbers are there.
"""

from commcheck.diagnose.rules.environment.settings import (
    CERTAIN,
    WORKS_ANYWAY,
    Finding,
    Seen,
    errors,
    fact,
    free_rank,
    integer,
    match_of,
    seen,
)
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """RANK and WORLD_SIZE are numbers, and RANK is negative or not less than WORLD_SIZE."""
    findings = []
    for who in seen(case):
        rank, size = integer(who.value("RANK")), integer(who.value("WORLD_SIZE"))
        if size is None and case.world is not None:
            size = case.world.size
        if rank is None or (rank >= 0 and (size is None or size < 1 or rank < size)):
            continue
        title = f"RANK={rank} is not one of {f'0 to {size - 1}' if size else 'the numbers from 0 on'}"
        confidence = WORKS_ANYWAY if who.finished else CERTAIN
        evidence = (
            fact("RANK", who.value("RANK"), who),
            fact("WORLD_SIZE", who.value("WORLD_SIZE"), who),
            *errors(who),
        )
        findings.append(Finding(who, title, confidence, evidence, (_fix(case, who),), Symptom.SETUP_HANG_TIMEOUT))
    return match_of(findings)


def _fix(case: Case, who: Seen) -> Fix:
    pattern = FixPattern.COMMUNICATION_CONFIGURATION
    free = free_rank(case, who.record.slot) if who.record is not None else None
    if free is not None and who.record is not None:
        return Fix(
            pattern=pattern,
            text=f"set RANK={free}, the one number that no other process has",
            rank_set={str(who.record.slot): {"RANK": str(free)}},
        )
    return Fix(
        pattern=pattern,
        text="number the processes 0 to WORLD_SIZE - 1 without gaps, or set WORLD_SIZE to their count",
        applies_to_ranks=() if who.rank is None else (who.rank,),
    )


RULE = Rule(
    cause="rank-out-of-range",
    code="CC108",
    title="A rank's number does not fit the world's size",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "number the processes 0 to WORLD_SIZE - 1, or correct WORLD_SIZE"),
    ),
    match=match,
    signatures=(
        Signature(
            pattern=r"context\.cc:\d+\] rank < size\. -?\d+ vs -?\d+",
            literal="rank < size",
            source="gloo gloo/context.cc; seen with torch 2.13",
            positive="RuntimeError: [enforce fail at gloo/gloo/context.cc:23] rank < size. 5 vs 2",
            negative="rank 1 has size 2",
            weight=0.9,
        ),
        Signature(
            pattern=r"Invalid rank \d+, rank should be in the interval \[0, \d+\]",
            literal="rank should be in the interval",
            source="pytorch torch/utils/data/distributed.py",
            positive="ValueError: Invalid rank 5, rank should be in the interval [0, 1]",
            negative="rank 5 is in the interval",
            weight=0.9,
        ),
    ),
    explains=(
        "rank-missing",
        "rank-exited",
        "port-refused",
        "store-timeout-too-short",
        "script-error",
        "launcher-failure",
    ),
    needs=("environment",),
)
