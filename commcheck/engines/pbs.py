"""PBS on HPE Cray systems: the PALS launcher numbers its processes in PALS_RANKID; PBS itself numbers none.

Source: HPE Cray PALS, aprun/mpiexec environment variables."""

from __future__ import annotations

from commcheck.engines.base import Engine
from commcheck.engines.numbered import numbered

ENGINE = Engine(
    name="pbs",
    detect=numbered(
        "pbs",
        rank=("PALS_RANKID",),
        size=(
            "PALS_SIZE",
            "PMI_SIZE",
        ),
        local_rank=("PALS_LOCAL_RANKID",),
        local_size=("PALS_LOCAL_SIZE",),
    ),
)
