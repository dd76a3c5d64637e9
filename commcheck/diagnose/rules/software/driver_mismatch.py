"""The GPU driver, CUDA and the binary do not fit each other.

**What you see**
`CUDA driver version is insufficient for CUDA runtime version`, `no kernel image is available for execution on
the device`, `Driver/library version mismatch`.

**Why it happens**
The wheel was built for a newer CUDA than the driver knows, or without code for this GPU's architecture; or the
driver was upgraded under running processes.

**How to fix**
Upgrade the driver or install the wheel for the CUDA that the driver offers (`nvidia-smi` shows it); for an old
or very new GPU, a wheel that lists its architecture.

**How to confirm**
`nvidia-smi` on every host, and `python -c 'import torch; print(torch.version.cuda,
torch.cuda.get_arch_list())'`.
"""

from commcheck.diagnose.consequences import PEERS_SEE
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="driver-mismatch",
    code="CC913",
    title="The GPU driver, CUDA and the binary do not fit each other",
    stage=Stage.BUILD,
    symptoms=(
        Symptom.PREP_DEVICE_ERROR,
        Symptom.TRAIN_DEVICE_ERROR,
        Symptom.BUILD_IMPORT_ERROR,
        Symptom.SETUP_FAILURE,
    ),
    fixes=(
        (
            FixPattern.DEPENDENCY_VERSION,
            "Install the build for the CUDA version that the driver offers, with the architecture of this GPU.",
        ),
        (
            FixPattern.DEVICE_CONSISTENCY,
            "Bring the same driver to every host; reboot where the kernel module and the library differ.",
        ),
    ),
    signatures=(
        Signature(
            pattern="CUDA driver version is insufficient",
            literal="driver version is insufficient",
            source="CUDA: cudaErrorInsufficientDriver",
            positive="RuntimeError: CUDA driver version is insufficient for CUDA runtime version",
            negative="CUDA driver version 535",
            weight=0.92,
        ),
        Signature(
            pattern="no kernel image is available for execution on the device",
            literal="no kernel image is available",
            source="CUDA: cudaErrorNoKernelImageForDevice",
            positive="CUDA error: no kernel image is available for execution on the device",
            negative="kernel image loaded",
            weight=0.9,
        ),
        Signature(
            pattern="Driver/library version mismatch",
            literal="driver/library version mismatch",
            source="NVML: NVML_ERROR_LIB_RM_VERSION_MISMATCH",
            positive="Failed to initialize NVML: Driver/library version mismatch",
            negative="driver version 550",
            weight=0.92,
        ),
        Signature(
            pattern="NVIDIA driver on your system is too old",
            literal="driver on your system is too old",
            source="pytorch: torch/csrc/cuda, c10/cuda/CUDAFunctions.cpp",
            positive="RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
            negative="the driver is new",
            weight=0.9,
        ),
        Signature(
            pattern="forward compatibility was attempted on non supported HW|provided PTX was compiled with an unsupported toolchain|device kernel image is invalid",
            literal="forward compatibility was | provided ptx was | kernel image is invalid",
            source="CUDA: error strings",
            positive="CUDA error: the provided PTX was compiled with an unsupported toolchain.",
            negative="PTX compiled",
            weight=0.85,
        ),
        Signature(
            pattern=r"with CUDA capability sm_\d+ is not compatible with the current PyTorch installation",
            literal="is not compatible with the current pytorch",
            source="pytorch: torch/cuda/__init__.py",
            positive="Tesla K80 with CUDA capability sm_37 is not compatible with the current PyTorch installation.",
            negative="CUDA capability sm_90",
            weight=0.7,
        ),
    ),
    explains=PEERS_SEE,
)
