"""The ranks meet by different methods.

**What you see.** Some ranks wait at a TCP store, others at a file or another address; each waits for the rest in silence.

**Why it happens.** `init_method` differs between scripts or configuration files of the hosts.

**How to fix.** Use one init_method everywhere, best `env://`.

**How to confirm.** Print the init_method on every rank.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, rank_zero, started
from commcheck.model.base import sentence
from commcheck.model.case import Case
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Different init methods."""
    there = started(case)
    methods = [r.init_method for r in there]
    if len(set(methods)) < 2:
        return None
    zero = rank_zero(case)
    right = zero.init_method if zero is not None else max(sorted(set(methods)), key=methods.count)
    wrong = [r for r in there if r.init_method != right]
    fixes: tuple[Fix, ...] = ()
    if right == "env://" and zero is not None:
        same: dict[str, str] = {n: zero.environment[n] for n in ("MASTER_ADDR", "MASTER_PORT") if n in zero.environment}
        fixes = (
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text="meet by env:// as rank 0 does",
                set=same,
                applies_to_ranks=names(wrong),
            ),
        )
    return Match(
        symptom=Symptom.SETUP_HANG_TIMEOUT,
        title=sentence(names(wrong), f"uses init_method {wrong[0].init_method}, rank 0 uses {right}"),
        confidence=0.95,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(evidence(EvidenceKind.FACT, f"init_method {r.init_method}", r) for r in there[:8]),
        fixes=fixes,
    )


RULE = Rule(
    cause="init-method-mismatch",
    code="CC133",
    title="The ranks meet by different methods",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_HANG_TIMEOUT, Symptom.SETUP_FAILURE),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "use one init_method everywhere"),),
    match=match,
    explains=("rank-missing", "port-refused", "port-dropped", "wrong-service-on-port"),
    needs=("ranks",),
)
