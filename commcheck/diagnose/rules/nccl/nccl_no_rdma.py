"""NCCL is told to use InfiniBand or RoCE cards that this host does not have.

**What you see**

With NCCL_NET=IB: `NCCL error: invalid usage` and, with NCCL_DEBUG=WARN, `Failed to initialize any NET plugin`. With NCCL_IB_HCA
alone: nothing, and TCP sockets carry the data, at a tenth of the speed.

**Why it happens**

Settings of another cluster, a container without /dev/infiniband, a driver that is not loaded.

**How to fix**

Give the container its devices, or load the driver; on hosts without cards, unset both variables.

**How to confirm**

`ls /sys/class/infiniband` and `ibv_devices` list the cards.
"""

from __future__ import annotations

from commcheck.diagnose.rules.nccl.shared import Asked, asked, setting
from commcheck.model.case import Case
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.rule import Rule
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

DEMANDED = 0.9
"""NCCL fails rather than use another network."""
NAMED = 0.45
"""NCCL goes on with sockets."""


def match(case: Case) -> Match | None:
    """InfiniBand is asked for, or cards are named, and there are none."""
    for one in asked(case):
        found = _wrong(one)
        if found is None:
            continue
        name, title, confidence = found
        return Match(
            symptom=Symptom.SETUP_FAILURE if confidence == DEMANDED else Symptom.SETUP_UNEXPECTED_PROTOCOL,
            title=f"{title}{one.where}",
            confidence=confidence,
            ranks=one.ranks,
            hosts=(one.host.host,),
            evidence=(
                setting(one, name),
                Evidence(kind=EvidenceKind.FACT, text=f"{one.host.host} has no cards", source="/sys/class/infiniband"),
            ),
            fixes=(
                Fix(
                    pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                    text=f"unset {name} on hosts without cards",
                    unset=(name,),
                    applies_to_ranks=one.ranks,
                ),
            ),
        )
    return None


def _wrong(one: Asked) -> tuple[str, str, float] | None:
    settings, cards = one.nccl.environment, one.nccl.rdma
    if settings.get("NCCL_IB_DISABLE", "") == "1":
        return None  # that both are set is the cause env-conflict
    if settings.get("NCCL_NET", "").lower() == "ib" and not cards:
        return "NCCL_NET", "NCCL_NET=IB demands an InfiniBand or RoCE card, and this host has none", DEMANDED
    wanted = settings.get("NCCL_IB_HCA", "")
    if wanted and not cards:  # a name that fits none of the cards that are there is the cause transport-fallback
        return "NCCL_IB_HCA", f"NCCL_IB_HCA={wanted} names cards, and this host has no InfiniBand or RoCE card", NAMED
    return None


RULE = Rule(
    cause="nccl-no-rdma",
    code="CC185",
    title="NCCL is told to use RDMA cards that the host does not have",
    stage=Stage.SETUP,
    symptoms=(Symptom.SETUP_FAILURE, Symptom.SETUP_UNEXPECTED_PROTOCOL),
    fixes=((FixPattern.COMMUNICATION_CONFIGURATION, "unset the variable on hosts without cards"),),
    match=match,
    needs=("hosts",),
)
