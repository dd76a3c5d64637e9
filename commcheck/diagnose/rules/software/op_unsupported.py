"""The backend does not offer this collective, type or device.

**What you see**
`... does not support alltoall`, `monitored_barrier is only implemented for GLOO backend`, `Cannot use
ReduceOp.AVG with Gloo`, an unsupported data type.

**Why it happens**
Every backend offers a subset of collectives, reduce operations and types, and the program asks for one outside
it.

**How to fix**
Use a backend that offers it for the tensor's device (NCCL for CUDA, gloo for CPU, both with
backend='cpu:gloo,cuda:nccl'), or another operation or type.

**How to confirm**
The table of backends in the documentation of torch.distributed; `commcheck preflight --backend NAME` shows what
works here.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="op-unsupported",
    code="CC915",
    title="The backend does not offer this collective, type or device",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_NOT_IMPLEMENTED,
        Symptom.SETUP_FAILURE,
    ),
    fixes=(
        (
            FixPattern.DISTRIBUTED_API_USAGE,
            "Use an operation, reduce operation and type that this backend has, or a backend that has it.",
        ),
        (FixPattern.FRAMEWORK_VERSION, "Newer versions offer more; upgrade where the table says so."),
    ),
    signatures=(
        Signature(
            pattern=r"[Bb]ackend \w+ does not support \w+",
            literal="does not support",
            source="pytorch: torch/csrc/distributed/c10d/Backend.hpp",
            positive="RuntimeError: Backend gloo does not support reduce_scatter",
            negative="backend gloo supports allreduce",
            weight=0.85,
        ),
        Signature(
            pattern="does not support monitoredBarrier|monitored_barrier is only implemented for GLOO",
            literal="does not support monitoredbarrier | monitored_barrier is only",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroup.hpp",
            positive="ProcessGroup nccl does not support monitoredBarrier, only GLOO supports monitored barrier.",
            negative="monitored barrier done",
            weight=0.85,
        ),
        Signature(
            pattern=r"Cannot use ReduceOp\.\w+ with|ReduceOp\.\w+ (?:is )?(?:not supported|only available)",
            literal="reduceop.",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupGloo.cpp",
            positive="RuntimeError: Cannot use ReduceOp.AVG with Gloo",
            negative="using ReduceOp.SUM",
            weight=0.88,
        ),
        Signature(
            pattern="(?:Unsupported|Invalid|Input tensor) (?:data|scalar) ?type.{0,40}(?:NCCL|Gloo|gloo|process group)|Input tensor data type is not supported for NCCL",
            literal="unsupported data | unsupported scalar | invalid data | invalid scalar | input tensor data | input tensor scalar",
            source="pytorch: torch/csrc/distributed/c10d/NCCLUtils.cpp",
            positive="RuntimeError: Input tensor data type is not supported for NCCL process group: Short",
            negative="data type float",
            weight=0.8,
        ),
        Signature(
            pattern=r"\bInvalid scalar type\s*$",
            literal="invalid scalar type",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupGloo (a type that gloo has no reduction for: int16, float8)",
            positive="RuntimeError: Invalid scalar type",
            negative="ValueError: invalid scalar type in column 3",
            weight=0.8,
        ),
        Signature(
            pattern=r"(?:all_reduce|reduce) does not support \S+ on complex tensors",
            literal="on complex tensors",
            source="pytorch: torch/distributed/distributed_c10d.py",
            positive="ValueError: all_reduce does not support RedOpType.MAX on complex tensors",
            negative="complex tensors ok",
            weight=0.8,
        ),
        Signature(
            pattern="(?:Allgather|Alltoall|Broadcast|Reducescatter) is not supported with Join",
            literal="is not supported with join",
            source="horovod: horovod/common/controller.cc",
            positive="Allgather is not supported with Join at this time.",
            negative="Join is supported",
            weight=0.8,
        ),
        Signature(
            pattern=r"ProcessGroup\w* (?:does not support|doesn't support) \w+",
            literal="does not support | doesn't support",
            source="pytorch: torch/csrc/distributed/c10d",
            positive="RuntimeError: ProcessGroupGloo does not support alltoall_base",
            negative="ProcessGroupGloo supports allreduce",
            weight=0.6,
        ),
    ),
    explains=PEERS_SEE,
)
