"""Which GPU each rank of a world takes: its LOCAL_RANK, counted among the devices that CUDA_VISIBLE_DEVICES leaves. Pure.

The list: `commcheck.diagnose.visible`. Only of ranks that commcheck started, or is one of: what a job's
own program makes of LOCAL_RANK is not known."""

from __future__ import annotations

from typing import NamedTuple

from commcheck.diagnose import visible
from commcheck.diagnose.view import evidence, started
from commcheck.model.case import Case, Origin, RankRecord
from commcheck.model.diagnosis import Evidence, EvidenceKind


class Taken(NamedTuple):
    """What a rank asks for. `device`: as the driver knows it (a number or a UUID), or as it counts them where nothing is
    hidden; "" where there is none of that number. `visible`: how many it can see, `gpus`: how many the host has; None: not
    known."""

    rank: RankRecord
    ordinal: int
    device: str
    visible: int | None
    gpus: int | None = None

    @property
    def shown(self) -> tuple[Evidence, ...]:
        """The settings, and what there is."""
        settings = [
            f"{name}={self.rank.environment[name]}"
            for name in ("LOCAL_RANK", "CUDA_VISIBLE_DEVICES")
            if name in self.rank.environment
        ]
        seen = "" if self.visible is None else f"; {self.visible} GPU{'s' if self.visible != 1 else ''} can be seen"
        if more := visible.read(self.rank.environment.get(visible.NAME, "")).more:
            seen += f", for of {more + 1} MIG instances CUDA 11 and 12 show a process the first"
        return (
            evidence(
                EvidenceKind.FACT, f"{', '.join(settings) or 'LOCAL_RANK is not set'}{seen}", self.rank, "environment"
            ),
        )


def taken(case: Case) -> tuple[Taken, ...]:
    """What every rank that uses NCCL asks for."""
    if case.origin not in (Origin.WORLD, Origin.JOINED):
        return ()
    return tuple(
        _taken(case, r) for r in started(case) if "nccl" in (r.backend or (case.world.backend if case.world else ""))
    )


def _taken(case: Case, rank: RankRecord) -> Taken:
    local = rank.environment.get("LOCAL_RANK", "0").strip()
    ordinal = int(local) if local.isdecimal() else 0
    facts = case.host(rank.host)
    there = len(facts.fabric.gpus) if facts is not None and facts.fabric is not None and facts.fabric.gpus else None
    listed = rank.environment.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return Taken(rank, ordinal, str(ordinal) if there is None or ordinal < there else "", there, there)
    left = visible.read(listed).devices
    if there is not None:
        left = left[: next((n for n, name in enumerate(left) if name.isdecimal() and int(name) >= there), len(left))]
    return Taken(rank, ordinal, left[ordinal] if ordinal < len(left) else "", len(left), there)


def as_one_host(rank: RankRecord) -> str:
    """What NCCL takes for the rank's host: by NCCL_HOSTID ranks of one host pass for ranks of several."""
    return rank.environment.get("NCCL_HOSTID") or rank.host
