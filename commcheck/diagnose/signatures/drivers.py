"""The libraries that come with a GPU's driver, and with nothing else: where one is not there, no driver is.

In a container they are those of the host, passed in by its runtime; so it was started without a GPU."""

from commcheck.diagnose.signatures.table import Wording, table
from commcheck.model.taxonomy import Symptom

SIGNATURES = table(
    Wording(
        {"device-missing": 0.88},
        r"^(?!.*dlerror)(?!.*[Ww]arning)(?!.*NCCL WARN).*?\blib(?:cuda|nvidia-ml|nvidia-ptxjitcompiler)\.so(?:\.\d+)*\b.{0,4}(?:: cannot open shared object file|: file not found|: not found)"
        r"|(?:^|\s)libcuda\.so cannot found|NVML Shared Library Not Found",
        "libcuda.so | libnvidia-ml.so | libnvidia-ptxjitcompiler.so | nvml shared library not found",
        "glibc: elf/dl-load.c; nvidia-container-toolkit passes these in; pynvml: NVMLError_LibraryNotFound; triton: backends/nvidia/driver.py",
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
        "Could not load dynamic library 'libcuda.so.1'; dlerror: libcuda.so.1: cannot open shared object file",
        symptoms=(Symptom.PREP_DEVICE_ERROR, Symptom.SETUP_FAILURE, Symptom.BUILD_IMPORT_ERROR),
    ),
)
