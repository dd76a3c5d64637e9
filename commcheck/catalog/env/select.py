"""Which variables of an environment go into a Case: those that bear on communication, without secrets."""

import re
from collections.abc import Mapping

from commcheck.catalog.env import known

REMOVED = "<removed>"
"""What stands in place of a value that must not be kept."""

PREFIXES: tuple[str, ...] = (
    "ACCELERATE_",
    "CCL_",
    "CUDA_",
    "DEEPSPEED_",
    "FI_",
    "GLOO_",
    "GOMP_",
    "GROUP_",
    "HCCL_",
    "HIP_",
    "HOROVOD_",
    "HSA_",
    "I_MPI_",
    "KMP_",
    "LD_",
    "LOCAL_",
    "MALLOC_",
    "MASTER_",
    "MKL_",
    "MPI_",
    "MV2_",
    "NCCL_",
    "NVSHMEM_",
    "OMPI_",
    "OMP_",
    "OPENBLAS_",
    "PALS_",
    "PET_",
    "PMI",
    "PYTHON",
    "PYTORCH_",
    "RCCL_",
    "ROCR_",
    "ROLE_",
    "SLURM_",
    "TORCH",
    "TP_SOCKET",
    "UCC_",
    "UCX_",
    "WORLD_",
)
"""Families of which every member is kept, known or not: a misspelt name is evidence."""

BEGINNINGS: tuple[str, ...] = ("NCCL", "GLOO", "MASTER", "RANK", "WORLD", "LOCALRANK", "LOCALWORLD")
"""Other names are kept, in any case, when they begin like this: WORLDSIZE and master_port are meant for something."""

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|APIKEY|(?:^|_)KEYS?(?:$|_)|AUTH|COOKIE", re.IGNORECASE
)
_URL_WITH_CREDENTIALS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s@]+@")
_TOKEN_VALUE = re.compile(
    r"(?:^|[^A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|"
    r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})|-----BEGIN"
)
LONGEST = 4096  # bytes of a value that are kept; LD_LIBRARY_PATH on module systems comes near


def bears_on_communication(name: str) -> bool:
    """Whether a variable of this name belongs into a Case."""
    if name in known() or name.startswith(PREFIXES):
        return True
    return name.upper().startswith(BEGINNINGS)


def without_secret(name: str, value: str) -> str:
    """`value`, or `REMOVED` when its name or its look says that it is a secret; over-long values are cut."""
    row = known().get(name)
    if row is not None and row.secret and value:
        return REMOVED
    if row is None and _SECRET_NAME.search(name):
        return REMOVED
    if _URL_WITH_CREDENTIALS.search(value) or _TOKEN_VALUE.search(value):
        return REMOVED
    return value if len(value) <= LONGEST else value[:LONGEST]


def relevant(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environ` that bear on communication, sorted by name, with secrets replaced by `REMOVED`."""
    return {name: without_secret(name, environ[name]) for name in sorted(environ) if bears_on_communication(name)}
