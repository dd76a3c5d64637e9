"""A variable that every rank must have is not set.

**What you see**

At once, on the rank that lacks it: `ValueError: Error initializing torch.distributed using env:// rendezvous:
environment variable MASTER_ADDR expected, but not set`. The other ranks wait until the store's time is up and report
that too few clients joined, or that they could not connect.

**Why it happens**

With `init_method="env://"`, PyTorch's default, every process reads MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE from
its own environment. A launcher such as torchrun sets all four. They are missing when the script was started without a
launcher, when ssh or a container did not pass them on, when the name is misspelt, or when the value is empty: an empty
value counts as not set.

**How to fix**

Start the script with a launcher (`torchrun --nproc-per-node=N script.py`), or set the missing variable on every rank:
MASTER_ADDR and MASTER_PORT to the same values everywhere, WORLD_SIZE to the number of processes, RANK to a different
number from 0 to WORLD_SIZE - 1 on each.

**How to confirm**

`commcheck lint` in the process's own environment names what is not set; `env | grep -E 'MASTER|RANK|WORLD'` shows it.
"""

from commcheck.catalog.env import nearest
from commcheck.diagnose.rules.environment.settings import (
    CERTAIN,
    DEFAULT_PORT,
    REQUIRED,
    Finding,
    Seen,
    common,
    errors,
    fact,
    free_rank,
    match_of,
    seen,
    world_size,
)
from commcheck.model.case import Case, Origin
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

PREPARED_ONLY = 0.4
"""Confidence where nothing but the address and port is set: a job script sets them for a launcher to add the rest."""


def match(case: Case) -> Match | None:
    """The required variables that are missing where others of them are set (for lint), or on a rank that needed them."""
    if case.origin is Origin.LIVE:
        return None  # torch raises at once where one is missing: what still runs has set it by itself
    findings: list[Finding] = []
    for who in seen(case):
        missing = [name for name in REQUIRED if not who.environment.get(name)]
        if not missing or who.met_store or who.finished:
            continue
        if case.origin is Origin.STATIC and not _started(who):
            continue
        confidence = CERTAIN
        if case.origin is Origin.STATIC and not (who.environment.get("RANK") or who.environment.get("WORLD_SIZE")):
            confidence = PREPARED_ONLY
        findings.extend(_finding(case, who, name, confidence) for name in missing)
    return match_of(findings)


def _started(who: Seen) -> bool:
    """Somebody meant to set the variables: some are there, under their own name or a misspelt one."""
    if any(who.environment.get(name) for name in (*REQUIRED, "LOCAL_RANK")):
        return True
    return any(nearest(name) in REQUIRED for name in who.environment)


def _finding(case: Case, who: Seen, name: str, confidence: float) -> Finding:
    wrong = next((n for n in who.environment if n not in REQUIRED and nearest(n) == name), None)
    title = f"{name} is {'empty' if name in who.environment else 'not set'}"
    evidence = [fact(name, who.environment.get(name), who, "torch.distributed needs it (init_method env://)")]
    if wrong is not None:
        title += f"; {wrong} is, which nothing reads"
        evidence.append(fact(wrong, who.environment[wrong], who, f"probably meant to be {name}"))
    evidence.extend(errors(who))
    return Finding(who, title, confidence, tuple(evidence), (_fix(case, who, name, wrong),), Symptom.SETUP_FAILURE)


def _fix(case: Case, who: Seen, name: str, wrong: str | None) -> Fix:
    pattern = FixPattern.COMMUNICATION_CONFIGURATION
    on = () if who.rank is None else (who.rank,)
    if wrong is not None:
        given = who.environment[wrong]
        return Fix(
            pattern=pattern,
            text=f"rename {wrong} to {name}",
            set={name: given},
            unset=(wrong,),
            applies_to_ranks=on,
        )
    if name == "RANK":
        free = free_rank(case, who.record.slot) if who.record is not None else None
        if free is not None and who.record is not None:
            return Fix(
                pattern=pattern,
                text=f"set RANK={free}, the one number that no other process has",
                rank_set={str(who.record.slot): {"RANK": str(free)}},
            )
        return Fix(
            pattern=pattern,
            text="set RANK on every process to its own number, 0 to WORLD_SIZE - 1 (torchrun does)",
            applies_to_ranks=on,
        )
    value = common(other.value(name) for other in seen(case))
    if value is None and name == "MASTER_PORT":
        value = DEFAULT_PORT
    if value is None and name == "WORLD_SIZE":
        size = world_size(case)
        value = None if size is None else str(size)
    if value is None and name == "MASTER_ADDR" and case.world is not None and case.world.master_addr:
        value = case.world.master_addr
    if value is None:
        what = "the name or address of the host of rank 0" if name == "MASTER_ADDR" else "how many processes there are"
        return Fix(pattern=pattern, text=f"set {name} to {what}, the same on every rank", applies_to_ranks=on)
    return Fix(pattern=pattern, text=f"set {name}={value}", set={name: value}, applies_to_ranks=on)


RULE = Rule(
    cause="env-missing",
    code="CC101",
    title="A required variable is not set",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_HANG_TIMEOUT),
    fixes=(
        (FixPattern.COMMUNICATION_CONFIGURATION, "start with a launcher (torchrun), or set the variable on every rank"),
    ),
    match=match,
    signatures=(
        Signature(
            pattern=r"environment variable (?P<name>\w+) expected, but not set",
            literal="expected, but not set",
            source="pytorch torch/distributed/rendezvous.py; seen with torch 2.13",
            positive="ValueError: Error initializing torch.distributed using env:// rendezvous: environment variable "
            "MASTER_ADDR expected, but not set",
            negative="environment variable MASTER_ADDR is set to node0",
            weight=0.95,
        ),
    ),
    explains=(
        "rank-missing",
        "rank-exited",
        "script-error",
        "launcher-failure",
        "port-refused",
        "store-timeout-too-short",
        "world-size-mismatch",
    ),
    needs=("environment",),
)
