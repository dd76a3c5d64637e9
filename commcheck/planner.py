"""From what the user asked for to a `Plan`. Pure: the environment comes in as an argument."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from commcheck.catalog.env import read_at_import
from commcheck.errors import UsageError
from commcheck.model.diagnosis import Fix
from commcheck.model.plan import FaultAt, Place, Plan, RankPlan

RANKS_LIMIT = 4096
"""Ranks on one machine above which a world size is taken for a mistake."""
LAUNCHER_VARIABLES = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "GROUP_RANK",
)


def why_cold(environment: Mapping[str, str], base: Mapping[str, str]) -> str:
    """Why a rank with this environment cannot be forked from a process started with `base`; empty if it can.

    A variable that the interpreter, the C library or torch reads when it starts would be silently ignored."""
    names = {n for n in environment.keys() | base.keys() if environment.get(n) != base.get(n)}
    early = sorted(n for n in names if read_at_import(n))
    if not early:
        return ""
    shown = ", ".join(early[:4]) + (", ..." if len(early) > 4 else "")
    return f"a fresh interpreter, because {shown} is read before a rank could be forked"


def check_size(size: int) -> None:
    """Raises UsageError for a world size that cannot be started here."""
    if size < 1:
        raise UsageError(f"a world of {size} ranks cannot be formed: --world-size must be at least 1")
    if size > RANKS_LIMIT:
        raise UsageError(
            f"a world of {size} ranks does not fit on one machine: --world-size must be at most {RANKS_LIMIT}"
        )


def local_plan(
    *,
    size: int,
    base: Mapping[str, str],
    backend: str = "gloo",
    env: Mapping[str, str] | None = None,
    rank_env: Mapping[int, Mapping[str, str]] | None = None,
    unset: tuple[str, ...] = (),
    rank_unset: Mapping[int, tuple[str, ...]] | None = None,
    rank_backend: Mapping[int, str] | None = None,
    master_addr: str | None = None,
    master_port: int | None = None,
    places: tuple[Place, ...] = (),
    faults: Mapping[int, tuple[FaultAt, ...]] | None = None,
    limits: Mapping[int, dict[str, tuple[int, int]]] | None = None,
    cgroups: Mapping[int, tuple[str, ...]] | None = None,
    store_seconds: float | None = None,
    init_method: Mapping[int, str] | None = None,
    workload: str = "standard",
) -> Plan:
    """The plan of a world whose ranks commcheck starts itself.

    `base`: the environment of the job, shared by all ranks; `env` changes it for all, `rank_env` by slot (a variable
    set there wins over what the launcher would set, RANK and WORLD_SIZE too). `places`: where each slot runs, repeated
    from the front when there are fewer. Raises UsageError for a size that cannot be."""
    check_size(size)
    shared = {k: v for k, v in {**base, **(env or {})}.items() if k not in unset}
    ranks = []
    where = [places[slot % len(places)] if places else Place() for slot in range(size)]
    for slot in range(size):
        host = where[slot]
        mates = [s for s in range(size) if where[s] == host]
        own = {
            **shared,
            "RANK": str(slot),
            "WORLD_SIZE": str(size),
            "LOCAL_RANK": str(mates.index(slot)),
            "LOCAL_WORLD_SIZE": str(len(mates)),
        }
        if master_addr is not None:
            own["MASTER_ADDR"] = master_addr
        if master_port is not None:
            own["MASTER_PORT"] = str(master_port)
        own |= dict(env or {})
        own |= dict((rank_env or {}).get(slot, {}))
        for name in (*unset, *(rank_unset or {}).get(slot, ())):
            own.pop(name, None)
        ranks.append(
            RankPlan(
                slot=slot,
                environment=own,
                place=host,
                limits=(limits or {}).get(slot, {}),
                cgroups=(cgroups or {}).get(slot, ()),
                faults=(faults or {}).get(slot, ()),
                backend=(rank_backend or {}).get(slot, backend),
                store_seconds=store_seconds,
                init_method=(init_method or {}).get(slot, "env://"),
            )
        )
    return Plan(size=size, backend=backend, ranks=tuple(ranks), workload=workload, base_environment=shared)


def apply(plan: Plan, fix: Fix) -> Plan:
    """The plan with a fix's settings; its places, limits and faults stay, so that only the settings differ.

    `args` understood: backend, master-addr, master-port, timeout. Raises UsageError for others."""
    unknown = fix.args.keys() - {"backend", "master-addr", "master-port", "timeout"}
    if unknown:
        raise UsageError(f"cannot be tried here: {', '.join(sorted(unknown))}")
    ranks, size = plan.ranks, plan.size
    if "WORLD_SIZE" in fix.set and not fix.applies_to_ranks:
        # For all ranks alike, it makes another world: of those that have a place in it.
        size = int(fix.set["WORLD_SIZE"])
        ranks = tuple(r for r in ranks if r.environment.get("RANK", "") in map(str, range(size)))
    return replace(
        plan,
        size=size,
        backend=fix.args.get("backend", plan.backend),
        ranks=tuple(_mended(r, fix) if _concerns(fix, r) else r for r in ranks),
    )


def _concerns(fix: Fix, rank: RankPlan) -> bool:
    if fix.rank_set and not fix.applies_to_ranks:
        return str(rank.slot) in fix.rank_set
    claimed = rank.environment.get("RANK", "")
    name = int(claimed) if claimed.lstrip("-").isdigit() else rank.slot
    return not fix.applies_to_ranks or name in fix.applies_to_ranks or str(rank.slot) in fix.rank_set


def _mended(rank: RankPlan, fix: Fix) -> RankPlan:
    environment = {k: v for k, v in rank.environment.items() if k not in fix.unset}
    environment |= fix.set
    environment |= fix.rank_set.get(str(rank.slot), {})
    if "master-addr" in fix.args:
        environment["MASTER_ADDR"] = fix.args["master-addr"]
    if "master-port" in fix.args:
        environment["MASTER_PORT"] = fix.args["master-port"]
    seconds = rank.store_seconds
    if "timeout" in fix.args:
        seconds = float(fix.args["timeout"])
    init_method = "env://" if {"MASTER_ADDR", "MASTER_PORT"} & (fix.set.keys() | fix.args.keys()) else rank.init_method
    return replace(
        rank,
        environment=environment,
        backend=fix.args.get("backend", rank.backend),
        store_seconds=seconds,
        init_method=init_method,
    )
