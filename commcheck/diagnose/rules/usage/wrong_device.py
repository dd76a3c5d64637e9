"""A tensor lies on a device that the backend does not serve.

**What you see**
`No backend type associated with device type cpu`, `Tensors must be CUDA and dense`, `Input tensor is on cpu,
but NCCL needs cuda`, `did you specify a pointer to GPU memory?`.

**Why it happens**
NCCL moves CUDA tensors only, gloo mainly CPU tensors; a tensor, an object collective or a barrier used the
other kind.

**How to fix**
Move the tensor to the rank's GPU before the call, or start the group with backend='cpu:gloo,cuda:nccl'.

**How to confirm**
Print tensor.device just before the call that the traceback names.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="wrong-device-for-backend",
    code="CC212",
    title="A tensor lies on a device that the backend does not serve",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_NOT_IMPLEMENTED,
        Symptom.TRAIN_COMMUNICATION_ERROR,
        Symptom.SETUP_FAILURE,
        Symptom.PREP_COMMUNICATION_ERROR,
        Symptom.TRAIN_DEVICE_ERROR,
    ),
    fixes=(
        (
            FixPattern.DISTRIBUTED_API_USAGE,
            "Move the tensor to the backend's device, or use backend='cpu:gloo,cuda:nccl'.",
        ),
        (FixPattern.DEVICE_ASSIGNMENT, "Call torch.cuda.set_device(LOCAL_RANK) before object collectives."),
    ),
    signatures=(
        Signature(
            pattern="No backend type associated with device type",
            literal="no backend type associated",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroup.hpp",
            positive="RuntimeError: No backend type associated with device type cpu",
            negative="backend type gloo",
            weight=0.95,
        ),
        Signature(
            pattern=r"Tensors must be CUDA and dense|[Tt]ensor(?:s|\(s\))? must be (?:on|in) (?:a )?(?:CUDA|GPU)|only supports (?:CUDA|GPU) tensors",
            literal="tensors must be | tensor must be | tensor(s) must be | gpu tensors | cuda tensors",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp",
            positive="RuntimeError: Tensors must be CUDA and dense",
            negative="CUDA tensors are dense",
            weight=0.92,
        ),
        Signature(
            pattern=r"did you specify a pointer to GPU memory|unsupported device type|ProcessGroupGloo::\w+: (?:unsupported|invalid) (?:device|layout|tensor)",
            literal="pointer to gpu memory | unsupported device | processgroupgloo::",
            source="gloo: gloo/transport/ibverbs; pytorch: ProcessGroupGloo.cpp",
            positive="RuntimeError: ProcessGroupGloo::allreduce: invalid tensor layout",
            negative="device type cpu",
            weight=0.85,
        ),
        Signature(
            pattern=r"allocated on device \d+ mismatchs? with NCCL device|is not a valid pointer",
            literal="with nccl device | is not a valid pointer",
            source="nccl: src/misc/argcheck.cc",
            positive="NCCL WARN AllReduce : sendbuff allocated on device 3 mismatchs with NCCL device 1",
            negative="pointer valid",
            weight=0.85,
        ),
    ),
    explains=PEERS_SEE,
)
