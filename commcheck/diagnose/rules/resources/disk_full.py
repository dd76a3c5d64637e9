"""A file system is full.

**What you see**
`No space left on device` or `Disk quota exceeded` while a checkpoint, a cache or a log is written, mostly by
rank 0; the others wait in a barrier for it.

**Why it happens**
The disk or the quota of one host is used up. (The same words about /dev/shm are another cause: shm-too-small.)

**How to fix**
Free space, write elsewhere, or keep fewer checkpoints.

**How to confirm**
`df -h` and `df -i` of the path on the host of the failing rank, `quota -s`.
"""

from commcheck.diagnose.consequences import PEERS_SEE_CRASH
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="disk-full",
    code="CC308",
    title="A file system is full",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_OTHER_FAILURE,
        Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
        Symptom.PREP_OTHER,
    ),
    fixes=(
        (FixPattern.MEMORY_OR_CORE_SETTING, "Free space on the file system that the line names, or write to another."),
    ),
    signatures=(
        Signature(
            pattern="^(?!.*/dev/shm)(?!.*shared memory).*No space left on device",
            literal="no space left on device",
            source="the C library's text for ENOSPC",
            positive="OSError: [Errno 28] No space left on device: '/data/ckpt-7.pt'",
            negative="NCCL WARN Error: failed to extend /dev/shm/nccl-Ab3dEf to 9637892 bytes, error: No space left on device (28)",
            weight=0.75,
        ),
        Signature(
            pattern="basic_ios::clear: iostream error|PytorchStreamWriter failed writing file",
            literal="iostream error | pytorchstreamwriter failed writing",
            source="pytorch 2.13: torch.save(state, path) on a tmpfs without room (seen); "
            "caffe2/serialize/inline_container.cc. The path was opened, so it exists and may be written",
            positive="RuntimeError: basic_ios::clear: iostream error",
            negative="RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory",
            weight=0.75,
            symptoms=(
                Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING,
                Symptom.TRAIN_OTHER_FAILURE,
            ),
        ),
        Signature(
            pattern="[Dd]isk quota exceeded",
            literal="disk quota exceeded",
            source="the C library's text for EDQUOT",
            positive="OSError: [Errno 122] Disk quota exceeded",
            negative="the quota is 10 GiB",
            weight=0.85,
        ),
    ),
    explains=PEERS_SEE_CRASH,
)
