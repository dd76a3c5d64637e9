"""Two ranks use the same GPU.

**What you see**
NCCL stops with `Duplicate GPU detected : rank 1 and rank 0 both on CUDA device ...` or `Multiple Ranks are
using the same GPU`, PyTorch with `invalid usage`.

**Why it happens**
Every process of the host takes GPU 0 because the local rank is not read, because CUDA_VISIBLE_DEVICES is the
same single card for all, or because two jobs or workers were given one card.

**How to fix**
Let each rank take the GPU of its local rank before anything touches CUDA, or give each process its own
CUDA_VISIBLE_DEVICES.

**How to confirm**
Print LOCAL_RANK, CUDA_VISIBLE_DEVICES and torch.cuda.current_device() in every rank: no pair may be equal on
one host.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.devices import Taken, as_one_host, taken
from commcheck.diagnose.view import names
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """Ranks of one host that take the same GPU, in a world of NCCL's that did not come through."""
    by_device: dict[tuple[str, str], list[Taken]] = {}
    for one in taken(case):
        # With this NCCL lets them, from 2.29 on.
        if one.device and not one.rank.finished and one.rank.environment.get("NCCL_MULTI_RANK_GPU_ENABLE", "0") == "0":
            by_device.setdefault((as_one_host(one.rank), one.device), []).append(one)
    shared = [found for found in by_device.values() if len(found) > 1]
    failed = any(t.rank.error is not None for found in shared for t in found)
    if not shared or not failed:
        return None
    wrong = [t for found in shared for t in found]
    ranks = names(t.rank for t in wrong)
    return Match(
        symptom=Symptom.SETUP_FAILURE,
        title=f"{ranks_text(names(t.rank for t in shared[0])).capitalize()} take the same GPU ({shared[0][0].device})",
        confidence=0.93,
        ranks=ranks,
        hosts=tuple(dict.fromkeys(t.rank.host for t in wrong)),
        evidence=tuple(e for t in wrong[:6] for e in t.shown),
        fixes=tuple(Fix(pattern=pattern, text=text, applies_to_ranks=ranks) for pattern, text in RULE.fixes),
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
            source="nccl: src/init.cc, until 2.28",
            positive="trainer-a:41:77 [0] init.cc:779 NCCL WARN Duplicate GPU detected : rank 3 and rank 2 both on CUDA device 1b000",
            negative="GPU detected",
            weight=0.95,
            symptoms=(Symptom.PREP_DEVICE_ERROR, Symptom.SETUP_FAILURE),
        ),
        Signature(
            pattern="Multiple Ranks are using the same GPU/Partition",
            literal="multiple ranks are using the same gpu",
            source="nccl: src/init.cc",
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
