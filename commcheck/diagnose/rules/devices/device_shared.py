"""Two ranks use the same GPU.

**What you see**
NCCL stops with `Duplicate GPU detected : rank 1 and rank 0 both on CUDA device ...` or `Multiple Ranks are
using the same GPU`, PyTorch with `invalid usage`.

**Why it happens**
Every process of the host takes GPU 0 because the local rank is not read, because CUDA_VISIBLE_DEVICES is the
same single card for all, or because two jobs or workers were given one card. Or they have MIG instances of one card:
NCCL takes these for one GPU, and has no peer access between them.

**How to fix**
Let each rank take the GPU of its local rank before anything touches CUDA, or give each process its own
CUDA_VISIBLE_DEVICES.

**How to confirm**
Print LOCAL_RANK, CUDA_VISIBLE_DEVICES and torch.cuda.current_device() in every rank: no pair may be equal on
one host.
"""

from collections.abc import Sequence

from commcheck.diagnose import visible
from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.devices import Taken, as_one_host, taken
from commcheck.diagnose.view import names
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Ranks of one host that take the same GPU, or MIG instances of one, in a world of NCCL's that did not come through."""
    # With this NCCL lets them, from 2.30 on.
    asked = [
        t
        for t in taken(case)
        if t.device and not t.rank.finished and t.rank.environment.get("NCCL_MULTI_RANK_GPU_ENABLE", "0") == "0"
    ]
    shared = [found for found in _grouped(asked) if len(found) > 1]
    failed = any(t.rank.error is not None for found in shared for t in found)
    if not shared or not failed:
        return None
    wrong = [t for found in shared for t in found]
    ranks, first = names(t.rank for t in wrong), shared[0]
    who = ranks_text(names(t.rank for t in first)).capitalize()
    apart = visible.is_slice(first[0].device) and not visible.same(first[0].device, first[1].device)
    what = (
        f"MIG instances of one GPU ({', '.join(t.device for t in first[:4])})"
        if apart
        else f"the same GPU ({first[0].device})"
    )
    fixes = tuple(Fix(pattern=pattern, text=text, applies_to_ranks=ranks) for pattern, text in RULE.fixes)
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"{who} take {what}",
        confidence=0.9 if apart else 0.93,
        ranks=ranks,
        hosts=tuple(dict.fromkeys(t.rank.host for t in wrong)),
        evidence=tuple(e for t in wrong[:6] for e in t.shown),
        fixes=(_of_instances(ranks),) if apart else fixes,
    )


def _grouped(asked: Sequence[Taken]) -> list[list[Taken]]:
    """Those of a host that NCCL takes for one GPU: until 2.29 it compares bus ids, which all MIG instances of a GPU share,
    later what CUDA says of the GPU that they are parts of (github.com/NVIDIA/nccl, src/init.cc and issue 1716)."""
    groups: list[list[Taken]] = []
    for one in asked:
        for group in groups:
            other = group[0]
            whole = _gpu(one)
            if as_one_host(one.rank) == as_one_host(other.rank) and (
                visible.same(one.device, other.device) or (whole and visible.same(whole, _gpu(other)))
            ):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _gpu(one: Taken) -> str:
    """The GPU of a MIG instance: its name tells it (driver 460 and older), or the host has no other."""
    if visible.is_slice(one.device) and one.gpus == 1:
        return "GPU-0"
    return visible.gpu_of(one.device)


def _of_instances(ranks: tuple[int, ...]) -> Fix:
    return Fix(
        pattern=FixPattern.DEVICE_ASSIGNMENT,
        text="give each rank of a NCCL job a GPU of its own: between MIG instances there is no peer access, and NCCL takes those of "
        "one GPU for one (2.30 and later go on with NCCL_MULTI_RANK_GPU_ENABLE=1, over shared memory; gloo has no such limit)",
        applies_to_ranks=ranks,
    )


RULE = Rule(
    cause="device-shared-by-ranks",
    code="CC303",
    title="Two ranks use the same GPU",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.TRAIN_DEVICE_ERROR,
        Symptom.SETUP_FAILURE,
        Symptom.PREP_DEVICE_ERROR,
        Symptom.PERF_UNEXPECTED_PARALLELIZATION,
        Symptom.PREP_COMMUNICATION_ERROR,
        Symptom.TRAIN_COMMUNICATION_ERROR,
    ),
    fixes=(
        (
            FixPattern.DEVICE_ASSIGNMENT,
            "Call torch.cuda.set_device(LOCAL_RANK) first thing in each rank (Horovod: hvd.local_rank()).",
        ),
        (FixPattern.COMMAND_LINE, "Start no more ranks per host than it has GPUs."),
    ),
    signatures=(
        Signature(
            pattern=r"Duplicate GPU detected ?: rank (?P<rank>\d+)",
            literal="duplicate gpu detected",
            source="nccl: src/init.cc, 2.5 to 2.29",
            positive="trainer-a:41:77 [0] init.cc:779 NCCL WARN Duplicate GPU detected : rank 3 and rank 2 both on CUDA device 1b000",
            negative="GPU detected",
            weight=0.95,
            symptoms=(Symptom.PREP_DEVICE_ERROR, Symptom.SETUP_FAILURE),
        ),
        Signature(
            pattern="Multiple Ranks are using the same GPU/Partition",
            literal="multiple ranks are using the same gpu",
            source="nccl: src/init.cc (2.30.3: src/graph/topo.cc)",
            versions="nccl >= 2.30",
            positive="NCCL WARN Multiple Ranks are using the same GPU/Partition. Set NCCL_MULTI_RANK_GPU_ENABLE=1 to enable this",
            negative="each rank has its GPU",
            weight=0.95,
            symptoms=(Symptom.PREP_DEVICE_ERROR, Symptom.SETUP_FAILURE),
        ),
        Signature(
            pattern="all CUDA-capable devices are busy or unavailable",
            literal="devices are busy or unavailable",
            source="CUDA: cudaErrorDevicesUnavailable (exclusive mode, or another process holds it)",
            positive="RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable",
            negative="devices are busy",
            weight=0.75,
        ),
    ),
    match=match,
    explains=PEERS_SEE,
    needs=("ranks",),
)
