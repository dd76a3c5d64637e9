"""The ranks ask for different backends.

**What you see.** One rank fails at once or connects by other means; the others wait for its key in the store.

**Why it happens.** The backend is chosen by `torch.cuda.is_available()`, and one host has no working GPU.

**How to fix.** Use one backend on all ranks.

**How to confirm.** Print the backend on every rank.
"""

from __future__ import annotations

from commcheck.diagnose.view import evidence, names, rank_zero, started
from commcheck.model.base import sentence
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

_ASKED = ("gloo", "nccl", "mpi", "ucc")
"""Backends of which a rank says whether its torch has them (`HostFacts.backends`); a plugin's is not known there."""


def match(case: Case) -> Match | None:
    """Different backend names."""
    there = started(case)
    asked = [r.backend for r in there]
    if len({_meant(backend) for backend in asked}) < 2:
        return None
    zero = rank_zero(case)
    # What the asking ranks' own torch does not have cannot be what all the others should use.
    asked = [r.backend for r in there if _offered(case, r)] or asked
    most = max(sorted(set(asked)), key=asked.count)
    right = zero.backend if zero is not None and asked.count(zero.backend) == asked.count(most) else most
    wrong = [r for r in there if _meant(r.backend) != _meant(right)]
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=sentence(names(wrong), f"asks for backend {wrong[0].backend}, the others for {right}"),
        confidence=0.97,
        ranks=names(wrong),
        hosts=tuple(dict.fromkeys(r.host for r in wrong)),
        evidence=tuple(evidence(EvidenceKind.FACT, f"backend {r.backend}", r) for r in there[:8]),
        fixes=(
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text=f"use one backend on all ranks: {right}",
                args={"backend": right},
            ),
        ),
    )


def _meant(backend: str) -> frozenset[str]:
    """The backends that a text names: "GLOO", "cpu:gloo" and "cpu:gloo,cuda:gloo" all mean gloo, and form a world."""
    return frozenset(part.rpartition(":")[2].strip().lower() for part in backend.split(","))


def _offered(case: Case, rank: RankRecord) -> bool:
    facts = case.host(rank.host)
    return facts is None or not facts.backends or rank.backend in facts.backends or rank.backend not in _ASKED


RULE = Rule(
    cause="backend-mismatch",
    code="CC903",
    title="The ranks ask for different backends",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE,),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "use one backend on all ranks"),),
    match=match,
    explains=("backend-not-built", "backend-unknown", "rank-missing", "collective-missing-rank"),
    needs=("ranks",),
)
