"""Flux: `flux run` numbers its tasks in FLUX_TASK_RANK and FLUX_JOB_SIZE.

Source: flux-environment(7)."""

from __future__ import annotations

from commcheck.engines.base import Engine
from commcheck.engines.numbered import numbered

ENGINE = Engine(
    name="flux",
    detect=numbered(
        "flux", rank=("FLUX_TASK_RANK",), size=("FLUX_JOB_SIZE",), local_rank=("FLUX_TASK_LOCAL_ID",), local_size=()
    ),
)
