"""The process sees no GPU.

**What you see**
`ProcessGroupNCCL is only supported with GPUs, no GPUs found!`, `No CUDA GPUs are available`, `Torch not
compiled with CUDA enabled`, `no CUDA-capable device is detected`.

**Why it happens**
CUDA_VISIBLE_DEVICES is empty or names none, the container got no GPU (--gpus all, nvidia runtime), the host has
no driver, or the installed build is for CPUs.

**How to fix**
Give the process its GPUs (container option, scheduler request, CUDA_VISIBLE_DEVICES), install a CUDA build, or
use the gloo backend on CPUs.

**How to confirm**
In the rank's own environment: `nvidia-smi`, and `python -c 'import torch; print(torch.cuda.device_count())'`.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="device-missing",
    code="CC301",
    title="The process sees no GPU",
    stage=Stage.SETUP,
    symptoms=(
        Symptom.PREP_DEVICE_ERROR,
        Symptom.SETUP_FAILURE,
        Symptom.TRAIN_DEVICE_ERROR,
    ),
    fixes=(
        (
            FixPattern.DEVICE_ASSIGNMENT,
            "Give the rank its GPUs: CUDA_VISIBLE_DEVICES, the scheduler request, the container option.",
        ),
        (FixPattern.DEPENDENCY_VERSION, "Install a build with CUDA."),
        (FixPattern.COMMUNICATION_CONFIGURATION, "Without GPUs use the gloo backend."),
    ),
    signatures=(
        Signature(
            pattern="ProcessGroupNCCL is only supported with GPUs",
            literal="is only supported with gpus",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp",
            positive="RuntimeError: ProcessGroupNCCL is only supported with GPUs, no GPUs found!",
            negative="ProcessGroupNCCL created",
            weight=0.95,
            symptoms=(
                Symptom.SETUP_FAILURE,
                Symptom.PREP_DEVICE_ERROR,
            ),
        ),
        Signature(
            pattern="No CUDA GPUs are available",
            literal="no cuda gpus are available",
            source="pytorch: c10/cuda, torch/csrc/cuda/Module.cpp",
            positive="RuntimeError: No CUDA GPUs are available",
            negative="2 CUDA GPUs are available",
            weight=0.92,
        ),
        Signature(
            pattern="Torch not compiled with CUDA enabled",
            literal="torch not compiled with cuda",
            source="pytorch: torch/cuda/__init__.py",
            positive="AssertionError: Torch not compiled with CUDA enabled",
            negative="Torch compiled with CUDA 12",
            weight=0.9,
        ),
        Signature(
            # TensorFlow says so too where no GPU is wanted: see signatures/tensorflow_keras.py.
            pattern="^(?!.*failed call to cuInit).*no CUDA-capable device is detected",
            literal="no cuda-capable device",
            source="CUDA: cudaErrorNoDevice",
            positive="CUDA error: no CUDA-capable device is detected",
            negative="CUDA-capable device 0",
            weight=0.9,
        ),
        Signature(
            pattern="Found no NVIDIA driver on your system",
            literal="found no nvidia driver",
            source="pytorch: c10/cuda/CUDAFunctions.cpp",
            positive="RuntimeError: Found no NVIDIA driver on your system.",
            negative="Found NVIDIA driver 550",
            weight=0.85,
        ),
        Signature(
            pattern="could not select device driver .*gpu",
            literal="could not select device driver",
            source="docker: the nvidia runtime is not installed",
            positive='docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
            negative="device driver selected",
            weight=0.7,
            symptoms=(
                Symptom.SETUP_FAILURE,
                Symptom.PREP_DEVICE_ERROR,
            ),
        ),
    ),
    explains=PEERS_SEE,
)
