"""A GPU or a host ran out of memory.

**What you see**
`CUDA out of memory. Tried to allocate ...` on one or more ranks, `NCCL WARN Failed to CUDA malloc`,
`std::bad_alloc`, `Cannot allocate memory`. The other ranks time out or see a closed connection.

**Why it happens**
Model, batch and communication buffers do not fit; or several ranks share a card, a process of an earlier job
still holds memory, or every rank keeps a context on GPU 0.

**How to fix**
Smaller batch, sharding or checkpointing; end stale processes; give each rank its own card. It is no fault of
the communication, whatever the other ranks say.

**How to confirm**
`nvidia-smi` before the start must show free cards; the failing rank's own line names how much was free.
"""

from commcheck.diagnose.consequences import PEERS_SEE_CRASH
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="memory-exhausted",
    code="CC307",
    title="A GPU or a host ran out of memory",
    stage=Stage.TRAINING,
    symptoms=(Symptom.TRAIN_OUT_OF_MEMORY, Symptom.TRAIN_MEMORY_ISSUE),
    fixes=(
        (
            FixPattern.MEMORY_OR_CORE_SETTING,
            "Make room: fewer or smaller buffers, PYTORCH_CUDA_ALLOC_CONF, a larger limit of the container.",
        ),
        (FixPattern.BATCH_OR_PARTITION, "Smaller batch per rank, gradient accumulation, sharding."),
        (FixPattern.DEVICE_ASSIGNMENT, "One rank per card; end processes of earlier jobs."),
    ),
    signatures=(
        Signature(
            pattern=r"(?:CUDA|HIP|XPU|NPU|MPS backend|GPU)(?: error:)? ?out of memory|out of memory trying to allocate|OutOfMemoryError|[Cc]uda failed with error 2 ",
            literal="out of memory | outofmemoryerror | failed with error 2",
            source="pytorch: c10/cuda/CUDACachingAllocator.cpp; jax",
            positive="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            negative="Out of memory: Killed process 4711 (python)",
            weight=0.93,
        ),
        Signature(
            pattern=r"Failed to CUDA (?:malloc|calloc|host alloc)|Cuda failure (?:\d+ )?'out of memory'",
            literal="failed to cuda | out of memory",
            source="nccl: src/include/alloc.h",
            positive="NCCL WARN Failed to CUDA calloc async 6291456 bytes",
            negative="CUDA malloc ok",
            weight=0.85,
        ),
        Signature(
            pattern=r"\bRESOURCE_EXHAUSTED\b|ResourceExhaustedError|OOM when allocating tensor",
            literal="resource_exhausted | resourceexhaustederror | oom when allocating",
            source="tensorflow and xla",
            positive="ResourceExhaustedError: OOM when allocating tensor with shape[64,1024]",
            negative="resources are not exhausted",
            weight=0.85,
        ),
        Signature(
            pattern="CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED",
            literal="_status_alloc_failed",
            source="cuBLAS and cuDNN",
            positive="RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
            negative="CUBLAS_STATUS_SUCCESS",
            weight=0.8,
        ),
        Signature(
            pattern=r"std::bad_alloc|^(?:\w+\.)*MemoryError\b|\[Errno 12\] Cannot allocate memory|DefaultCPUAllocator: can't allocate memory|not enough memory: you tried to allocate",
            literal="bad_alloc | memoryerror | cannot allocate memory | can't allocate memory | not enough memory",
            source="the C++ run time, Python, pytorch: c10/core/impl/alloc_cpu.cpp",
            positive="OSError: [Errno 12] Cannot allocate memory",
            negative="Call to ibv_reg_mr failed with error Cannot allocate memory",
            weight=0.75,
        ),
    ),
    explains=PEERS_SEE_CRASH,
)
