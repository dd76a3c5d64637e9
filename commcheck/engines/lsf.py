"""LSF with the Job Step Manager: `jsrun` numbers its tasks in JSM_NAMESPACE_*.

Source: IBM Job Step Manager, jsrun's environment variables (as PyTorch Lightning's LSFEnvironment reads them)."""

from __future__ import annotations

from commcheck.engines.base import Engine
from commcheck.engines.numbered import numbered

ENGINE = Engine(
    name="lsf",
    detect=numbered(
        "lsf",
        rank=("JSM_NAMESPACE_RANK",),
        size=("JSM_NAMESPACE_SIZE",),
        local_rank=("JSM_NAMESPACE_LOCAL_RANK",),
        local_size=("JSM_NAMESPACE_LOCAL_SIZE",),
    ),
)
