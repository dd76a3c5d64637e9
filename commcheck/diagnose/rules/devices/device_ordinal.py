"""A rank asks for a GPU number that its host does not have.

**What you see**
`CUDA error: invalid device ordinal` on some ranks, mostly those with the higher local ranks.

**Why it happens**
More processes per host than GPUs (--nproc_per_node too large), the global rank used as a GPU number, ranks
placed on fewer hosts than meant, or CUDA_VISIBLE_DEVICES hiding some.

**How to fix**
Start as many ranks per host as it has GPUs, and take the GPU by LOCAL_RANK, not by RANK.

**How to confirm**
`nvidia-smi -L | wc -l` on the host of the failing rank against its LOCAL_RANK and CUDA_VISIBLE_DEVICES.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.diagnose.devices import taken
from commcheck.diagnose.view import names
from commcheck.model.base import ranks_text
from commcheck.model.case import Case
from commcheck.model.diagnosis import Fix, Match
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom


def match(case: Case) -> Match | None:
    """A rank that failed and whose LOCAL_RANK is beyond the GPUs that it can see."""
    wrong = [t for t in taken(case) if t.visible is not None and t.ordinal >= t.visible and not t.rank.finished]
    wrong = [t for t in wrong if t.rank.error is not None or (t.rank.exit is not None and t.rank.exit.code != 0)]
    if not wrong:
        return None
    lead = wrong[0]
    ranks = names(t.rank for t in wrong)
    seen = f"{lead.visible} GPU{'s' if lead.visible != 1 else ''}"
    return Match(
        symptom=Symptom.PREP_DEVICE_ERROR,
        title=f"GPU {lead.ordinal} is asked for, and {seen} can be seen ({ranks_text(ranks)})",
        confidence=0.95,
        ranks=ranks,
        hosts=tuple(dict.fromkeys(t.rank.host for t in wrong)),
        evidence=tuple(e for t in wrong[:4] for e in t.shown),
        fixes=tuple(Fix(pattern=pattern, text=text, applies_to_ranks=ranks) for pattern, text in RULE.fixes),
    )


RULE = Rule(
    cause="device-ordinal-out-of-range",
    code="CC302",
    title="A rank asks for a GPU number that its host does not have",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.PREP_DEVICE_ERROR,
        Symptom.SETUP_FAILURE,
        Symptom.TRAIN_DEVICE_ERROR,
    ),
    fixes=(
        (
            FixPattern.DEVICE_ASSIGNMENT,
            "Use torch.cuda.set_device(LOCAL_RANK) and start no more ranks per host than it has visible GPUs.",
        ),
        (FixPattern.COMMAND_LINE, "Lower --nproc_per_node (or -N, --ntasks-per-node) to the number of GPUs."),
    ),
    signatures=(
        Signature(
            pattern="invalid device ordinal",
            literal="invalid device ordinal",
            source="CUDA: cudaErrorInvalidDevice",
            positive="RuntimeError: CUDA error: invalid device ordinal",
            negative="valid device ordinal 3",
            weight=0.93,
        ),
        Signature(
            pattern=r"rank \d+ exceeds ndev=\d+|Invalid device count requested",
            literal="exceeds ndev= | device count requested",
            source="nccl: src/init.cc",
            positive="NCCL WARN rank 3 exceeds ndev=2",
            negative="ndev=2",
            weight=0.85,
        ),
        Signature(
            pattern="(?:requested|but only|Expected).{0,60}GPUs .{0,60}(?:but|only).{0,40}(?:available|visible|found)",
            literal="gpus ",
            source="Lightning, accelerate, DeepSpeed: device checks",
            positive="MisconfigurationException: You requested gpu: [0, 1, 2] but your machine only has: [0] GPUs available, but only 1 found",
            negative="GPU 3 is available",
            weight=0.8,
        ),
        Signature(
            pattern=r"You requested (?:gpu|GPU|ipu|device)s?: \[|[Bb]ut your machine only has: \[",
            literal="you requested gpu | you requested ipu | you requested device | your machine only has:",
            source="Lightning: utilities/device_parser.py, fabric/utilities/device_parser.py (two lines until 2.0, and in 2.x)",
            positive="MisconfigurationException('You requested gpu: [0, 1, 2, 3]",
            negative="You requested 4 GPUs",
            weight=0.8,
        ),
        Signature(
            pattern="device >= 0 && device < (?:num_gpus|device_count)",
            literal="device >= 0 && device <",
            source="pytorch: aten/src/ATen/cuda/CUDAContext.cpp",
            positive="RuntimeError: device >= 0 && device < num_gpus INTERNAL ASSERT FAILED",
            negative="device >= 0",
            weight=0.8,
        ),
    ),
    match=match,
    explains=PEERS_SEE,
    needs=("ranks",),
)
