"""Shared memory (/dev/shm) is too small.

**What you see**

`DataLoader worker (pid 123) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared
memory`, NCCL's `Error while creating shared memory segment /dev/shm/nccl-... error: No space left on device`, torch's
`unable to write to file </torch_...>: No space left on device`, or a plain `Bus error`.

**Why it happens**

Docker gives a container 64 MiB of /dev/shm, Kubernetes the same. NCCL puts its buffers between the GPUs of a host
there, and data loaders pass tensors through it.

**How to fix**

Give the container more: `docker run --shm-size=8g` or `--ipc=host`; in Kubernetes an emptyDir with `medium: Memory`
mounted at /dev/shm. NCCL_SHM_DISABLE=1 avoids NCCL's use of it, at the network's speed.

**How to confirm**

`df -h /dev/shm` inside the container, while the job runs.
"""

from collections.abc import Iterator

from commcheck.diagnose.rules.limits.shared import of_host, said
from commcheck.model.base import listed
from commcheck.model.case import Case, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind, Fix, Match
from commcheck.model.phase import STAGE_OF
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

CONTAINER_DEFAULT = 64 << 20
"""Bytes that Docker and Kubernetes give when nothing is said."""

_SAYS = (
    r"Error while creating shared memory segment",
    r"out of shared memory",
    r"unable to (?:write to file|resize file|allocate shared memory\(shm\) for file) <.*(?:No space left|Cannot allocate)",
)


def match(case: Case) -> Match | None:
    """A rank said so, or a host has no more than a container's default."""
    hit = (*said(case, _SAYS), *_no_semaphore(case))
    small = [h for h in case.hosts if h.shm_bytes is not None and h.shm_bytes <= CONTAINER_DEFAULT]
    if not hit and not small:
        return None
    hosts = tuple(dict.fromkeys([r.host for r, _ in hit] + [h.host for h in small]))
    # Small is not yet too small: gloo needs none of it.
    return Match(
        symptom=_symptom(tuple(r for r, _ in hit)),
        title=f"shared memory is small on {listed(hosts)}",
        confidence=0.9 if hit else 0.4,
        ranks=tuple(r.name for r, _ in hit),
        hosts=hosts,
        evidence=(
            *(e for _, e in hit),
            *(of_host(h, f"shared memory has {(h.shm_bytes or 0) >> 20} MiB") for h in small),
        ),
        fixes=(
            Fix(
                pattern=FixPattern.MEMORY_OR_CORE_SETTING,
                text="give the container more shared memory",
                commands=("docker run --shm-size=8g ...",),
                not_tried="it changes how the container is started",
            ),
            Fix(
                pattern=FixPattern.COMMUNICATION_CONFIGURATION,
                text="keep NCCL off shared memory (slower)",
                set={"NCCL_SHM_DISABLE": "1"},
            ),
        ),
    )


def _no_semaphore(case: Case) -> Iterator[tuple[RankRecord, Evidence]]:
    """Ranks that found no room for a semaphore of multiprocessing: those lie in /dev/shm, but the error has no path."""
    for rank in case.ranks:
        if rank.error is None or "[Errno 28]" not in rank.error.message:
            continue
        frame = next((x for x in reversed(rank.output) if x.text.lstrip().startswith('File "')), None)
        if frame is not None and "multiprocessing/synchronize.py" in frame.text:
            text = f"{rank.error.message} at {frame.text.strip()}"
            yield rank, Evidence(kind=EvidenceKind.LOG, text=text[:400], rank=rank.name, source=rank.error.kind)


def _symptom(ranks: tuple[RankRecord, ...]) -> Symptom:
    """Where the first rank that said so was: loading its first data, or training."""
    error = ranks[0].error if ranks else None
    first = error is not None and STAGE_OF[error.phase] is Stage.PREPARATION
    return Symptom.PREP_DATA_LOADING_FAILURE if first else Symptom.TRAIN_MEMORY_ISSUE


RULE = Rule(
    cause="shm-too-small",
    code="CC124",
    title="Shared memory is too small",
    stage=Stage.SETUP,
    symptoms=(Symptom.TRAIN_MEMORY_ISSUE, Symptom.PREP_DATA_LOADING_FAILURE, Symptom.SETUP_FAILURE),
    fixes=((FixPattern.MEMORY_OR_CORE_SETTING, "give the container more shared memory (--shm-size, --ipc=host)"),),
    match=match,
    signatures=(
        Signature(
            pattern=r"Error while creating shared memory segment",
            literal="creating shared memory segment",
            source="NCCL src/os/linux.cc",
            positive="NCCL WARN Error while creating shared memory segment /dev/shm/nccl-4XkY2p (size 9637888), error: "
            "No space left on device (28)",
            negative="created shared memory segment /dev/shm/nccl-4XkY2p",
            weight=0.9,
        ),
        Signature(
            pattern=r"workers? (?:are|is) out of shared memory",
            literal="out of shared memory",
            source="pytorch torch/csrc/DataLoader.cpp",
            positive="ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared "
            "memory (shm): It is possible that dataloader's workers are out of shared memory.",
            negative="workers share memory",
            weight=0.9,
        ),
    ),
    explains=("rank-crashed", "rank-exited", "disk-full", "script-error"),
    needs=(),
)
