"""A GPU or a kernel on it failed.

**What you see**
`an illegal memory access was encountered`, `device-side assert triggered`, `uncorrectable ECC error`,
`uncorrectable NVLink error`, Xid messages of the driver, `CUBLAS_STATUS_EXECUTION_FAILED`.

**Why it happens**
A kernel wrote where it may not (a bad index, a faulty extension), or the hardware is ill: memory, NVLink,
power. The communication library only reports it first, since it waits for the GPU; the other ranks time out.

**How to fix**
For illegal accesses and asserts find the kernel (CUDA_LAUNCH_BLOCKING=1); for ECC, NVLink and Xid errors take
the GPU or host out and have it checked.

**How to confirm**
`dmesg | grep -i xid`, `nvidia-smi -q -d ECC`, and the same job on another host.
"""

from commcheck.diagnose.consequences import PEERS_SEE_CRASH
from commcheck.model.rule import Rule, Signature
from commcheck.model.taxonomy import FixPattern, Stage, Symptom

RULE = Rule(
    cause="device-fault",
    code="CC306",
    title="A GPU or a kernel on it failed",
    stage=Stage.TRAINING,
    symptoms=(
        Symptom.TRAIN_DEVICE_ERROR,
        Symptom.PREP_DEVICE_ERROR,
    ),
    fixes=(
        (FixPattern.CHANGE_HARDWARE, 'For ECC, NVLink, Xid or "fallen off the bus": take the GPU out of service.'),
        (
            FixPattern.BEHAVIOR_LOGIC,
            "For an illegal access or assert: run with CUDA_LAUNCH_BLOCKING=1 and mend the kernel that it names.",
        ),
        (FixPattern.DEPENDENCY_VERSION, "Update the extension or library whose kernel fails."),
    ),
    signatures=(
        Signature(
            pattern="an illegal memory access was encountered|device-side assert triggered|unspecified launch failure|misaligned address|an illegal instruction was encountered",
            literal="illegal memory access | device-side assert | unspecified launch failure | misaligned address | illegal instruction was",
            source="CUDA: error strings",
            positive="RuntimeError: CUDA error: an illegal memory access was encountered",
            negative="memory access",
            weight=0.88,
        ),
        Signature(
            pattern="uncorrectable (?:ECC|NVLink) error|CUDA_ERROR_ECC_UNCORRECTABLE|hardware stack error",
            literal="uncorrectable | hardware stack error",
            source="CUDA: error strings",
            positive="RuntimeError: CUDA error: uncorrectable ECC error encountered",
            negative="ECC is enabled",
            weight=0.92,
        ),
        Signature(
            pattern=r"Memory access fault by GPU node-\d+|HW Exception by GPU node-\d+|amdgpu.{0,80}: (?:sq_intr: error|\[gfxhub\d*\] (?:retry |no-retry )?page fault|GPU (?:reset begin|fault detected))|Queue at 0x\w+ inactivated due to async error|HSA_STATUS_ERROR_(?:MEMORY_APERTURE_VIOLATION|ILLEGAL_INSTRUCTION|EXCEPTION|MEMORY_FAULT)",
            literal="memory access fault by gpu | hw exception by gpu | amdgpu | inactivated due to async error | hsa_status_error_",
            source="rocm: ROCR-Runtime core/runtime/runtime.cpp, amd_gpu_agent.cpp; linux drivers/gpu/drm/amd",
            positive="Memory access fault by GPU node-1 (Agent handle: 0x1d4a4a0) on address 0x7f2a5ca00000. Reason: Page not present or supervisor privilege.",
            negative="amdgpu 0000:83:00.0: amdgpu: SMU is initialized successfully!",
            weight=0.9,
        ),
        Signature(
            pattern=r"NVRM: Xid \(",
            literal="nvrm: xid",
            source="NVIDIA kernel driver",
            positive="NVRM: Xid (PCI:0000:1b:00): 79, pid=4711, GPU has fallen off the bus.",
            negative="NVRM: loading NVIDIA UNIX x86_64 Kernel Module",
            weight=0.92,
        ),
        Signature(
            pattern="GPU (?:has fallen off the bus|is lost)|Unable to determine the device handle for GPU",
            literal="fallen off the bus | gpu is lost | device handle for gpu",
            source="NVIDIA driver and NVML",
            positive="Unable to determine the device handle for GPU 0000:1B:00.0: Unknown Error",
            negative="GPU 3 found",
            weight=0.9,
        ),
        Signature(
            pattern="CU(?:BLAS|DNN|SPARSE|FFT)_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR)",
            literal="_status_",
            source="cuBLAS and cuDNN",
            positive="RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasGemmEx",
            negative="CUBLAS_STATUS_SUCCESS",
            weight=0.75,
        ),
        Signature(
            pattern="CUDA error: (?:unknown error|an error|operation not)|CUDA_ERROR_LAUNCH_FAILED|HIP error: ",
            literal="cuda error: | cuda_error_launch | hip error:",
            source="CUDA and HIP: error strings",
            positive="RuntimeError: CUDA error: unknown error",
            negative="CUDA error count 0",
            weight=0.5,
        ),
        Signature(
            pattern="watchdog thread terminated with exception: CUDA error",
            literal="watchdog thread terminated with exception",
            source="pytorch: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp",
            positive="[Rank 2] Process group watchdog thread terminated with exception: CUDA error: unknown error",
            negative="watchdog thread started",
            weight=0.55,
        ),
    ),
    explains=PEERS_SEE_CRASH,
)
