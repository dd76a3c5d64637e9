"""MASTER_PORT is not a port that a store can listen on.

**What you see**

`ValueError: port must have value from 0 to 65535 but was 70000.`, on every rank that has the value. With 0 the first
rank listens on a port of the kernel's choice, the others try to connect to port 0, and their time runs out.

**Why it happens**

Job scripts compute a port from the job's number (`MASTER_PORT=$((10000 + SLURM_JOB_ID))`), which grows beyond 65535.

**How to fix**

Use a port from 1024 to 65535 that is free on the host of rank 0, the same on all ranks. In a script: take the job's
number modulo 20000 and add 20000.

**How to confirm**

`commcheck lint --master-port PORT` judges the number and whether it is free here.
"""

from commcheck.diagnose.rules.environment.settings import (
    CERTAIN,
    DEFAULT_PORT,
    WORKS_ANYWAY,
    Finding,
    Seen,
    common,
    errors,
    fact,
    integer,
    match_of,
    seen,
)
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

HIGHEST = 65535


def match(case: Case) -> Match | None:
    """MASTER_PORT is a number, but none from 1 to 65535."""
    findings = []
    for who in seen(case):
        value = who.value("MASTER_PORT")
        port = integer(value)
        if port is None or 1 <= port <= HIGHEST:
            continue
        alone = port == 0 and integer(who.value("WORLD_SIZE")) == 1  # one rank needs nobody to find its port
        confidence = WORKS_ANYWAY if alone or who.finished else CERTAIN
        title = f"MASTER_PORT={port} is not a port from 1 to {HIGHEST}"
        evidence = (fact("MASTER_PORT", value, who, f"expected 1 to {HIGHEST}"), *errors(who))
        symptom = Symptom.SETUP_HANG_TIMEOUT if port == 0 else Symptom.SETUP_FAILURE
        findings.append(Finding(who, title, confidence, evidence, (_fix(case, who),), symptom))
    return match_of(findings)


def _fix(case: Case, who: Seen) -> Fix:
    good = common(
        value for other in seen(case) if (value := other.value("MASTER_PORT")) and 1 <= (integer(value) or 0) <= HIGHEST
    )
    port = good or DEFAULT_PORT
    # Where some ranks have a good port, the others must come to it; else all must change together.
    on = () if who.rank is None or good is None else (who.rank,)
    return Fix(
        pattern=FixPattern.COMMUNICATION_CONFIGURATION,
        text=f"set MASTER_PORT={port}",
        set={"MASTER_PORT": port},
        applies_to_ranks=on,
    )


RULE = Rule(
    cause="port-out-of-range",
    code="CC107",
    title="The store's port is not a port",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "set MASTER_PORT to a free port from 1024 to 65535"),),
    match=match,
    signatures=(
        Signature(
            pattern=r"port must have value from 0 to 65535 but was -?\d+",
            literal="port must have value from",
            source="pytorch torch/distributed/rendezvous.py; seen with torch 2.13",
            positive="ValueError: port must have value from 0 to 65535 but was 70000.",
            negative="port 29500 is within 0 to 65535",
            weight=0.95,
        ),
        Signature(
            pattern=r"OverflowError: (?:getsockaddrarg: |bind\(\): )?port must be 0-65535",
            literal="port must be 0-65535",
            source="CPython Modules/socketmodule.c",
            positive="OverflowError: bind(): port must be 0-65535.",
            negative="OverflowError: Python int too large to convert to C int",
            weight=0.7,
        ),
    ),
    explains=("rank-exited", "rank-missing", "port-mismatch", "port-refused", "script-error", "launcher-failure"),
    needs=("environment",),
)
