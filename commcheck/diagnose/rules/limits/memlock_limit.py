"""A process may not lock as much memory as RDMA needs.

**What you see**

NCCL: `Call to ibv_reg_mr failed with error Cannot allocate memory` or `Call to ibv_create_cq failed ...`, then
`ncclSystemError`. UCX and Open MPI warn that the limit on locked memory is low.

**Why it happens**

InfiniBand and RoCE cards read and write memory themselves, so it must stay where it is: it is locked. Linux allows an
ordinary process 64 KiB to 8 MiB of that. Login shells often have the limit lifted, while daemons that start jobs (sshd,
slurmd, containerd) pass on their own.

**How to fix**

Lift the limit for the daemon that starts the ranks: `LimitMEMLOCK=infinity` for slurmd or sshd under systemd,
`docker run --ulimit memlock=-1`, `memlock unlimited` in limits.conf. Without RDMA the limit does not matter:
NCCL_IB_DISABLE=1 avoids it, at TCP's speed.

**How to confirm**

`srun bash -c 'ulimit -l'` (or the same over ssh) shows the limit that ranks get, which may differ from the shell's.
"""

from commcheck.diagnose.rules.limits.shared import of_host, said, soft
from commcheck.model.base import listed
from commcheck.model.case import Case, HostFacts
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

ENOUGH = 1 << 30
"""Bytes below which RDMA buffers of a few peers do not fit; NCCL alone registers 4 MiB per channel and peer."""

_SAYS = (
    r"Call to ibv_(?:reg_mr\w*|create_cq|create_qp|reg_dmabuf_mr) failed with error Cannot allocate memory",
    r"(?:max )?locked memory.*(?:ulimit -l|unlimited)",
)


def match(case: Case) -> Match | None:
    """A rank said so, or RDMA is to be used on a host with a small limit."""
    hit = tuple(said(case, _SAYS))
    low = [h for h in case.hosts if (limit := soft(h, "memlock")) is not None and limit < ENOUGH]
    asked = _asks_for_rdma(case)
    if not hit and not (low and (asked or any(_has_infiniband(h) for h in low))):
        return None
    finished = bool(case.ranks) and all(r.finished for r in case.ranks)
    carded = any(_has_infiniband(h) for h in low)  # without a card its buffers are not what fails
    confidence = 0.9 if hit else 0.55 if asked and carded and not finished else 0.3
    hosts = tuple(dict.fromkeys([r.host for r, _ in hit] + [h.host for h in low]))
    return Match(
        symptom=Symptom.TRAIN_MEMORY_ISSUE,
        title=f"too little memory may be locked for RDMA on {listed(hosts)}",
        confidence=confidence,
        ranks=tuple(r.name for r, _ in hit),
        hosts=hosts,
        evidence=(*(e for _, e in hit), *(of_host(h, f"memlock is {soft(h, 'memlock')} bytes") for h in low)),
        fixes=(
            Fix(
                pattern=FixPattern.MEMORY_OR_CORE_SETTING,
                text="lift the limit on locked memory for the daemon that starts the ranks",
                commands=("ulimit -l unlimited",),
                not_tried="a limit is set by the shell or the administrator",
            ),
        ),
    )


def _asks_for_rdma(case: Case) -> bool:
    """A setting names InfiniBand and none turns it off."""
    environments = [case.environment, *(r.environment for r in case.ranks)]
    for environment in environments:
        if environment.get("NCCL_IB_DISABLE", "0").strip() not in ("", "0"):
            continue
        if environment.get("NCCL_NET", "").strip().upper() == "IB" or environment.get("NCCL_IB_HCA"):
            return True
    return False


def _has_infiniband(host: HostFacts) -> bool:
    """An RDMA port is active, or an IP-over-InfiniBand interface is up; their names begin with ib."""
    cards = host.fabric.cards if host.fabric is not None else ()
    return any(p.active for card in cards for p in card.ports) or any(
        i.up and i.name.startswith("ib") for i in host.interfaces
    )


RULE = Rule(
    cause="memlock-limit",
    code="CC123",
    title="Too little memory may be locked",
    stage=Stage.SETUP,
    symptoms=(Symptom.TRAIN_MEMORY_ISSUE, Symptom.SETUP_FAILURE, Symptom.PREP_COMMUNICATION_ERROR),
    fixes=((FixPattern.MEMORY_OR_CORE_SETTING, "lift the limit on locked memory (ulimit -l unlimited)"),),
    match=match,
    signatures=(
        Signature(
            pattern=r"Call to ibv_\w+ failed with error Cannot allocate memory",
            literal="failed with error cannot allocate memory",
            source="NCCL src/misc/ibvwrap.cc",
            positive="NCCL WARN Call to ibv_reg_mr failed with error Cannot allocate memory",
            negative="NCCL WARN Call to ibv_poll_cq failed with error No such device",
            weight=0.85,
        ),
    ),
    explains=("transport-unavailable", "rank-crashed", "rank-exited"),
    needs=(),
)
