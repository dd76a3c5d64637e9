"""Which engine has started this process, by its variables: the innermost one where several have."""

from __future__ import annotations

from collections.abc import Mapping

from commcheck import registry
from commcheck.engines.base import Allocation, Engine, Environ, Member

_OWN = ("RANK", "WORLD_SIZE")


def engines() -> tuple[Engine, ...]:
    """All engines, by name."""
    return tuple(sorted(registry.exported("commcheck.engines", "ENGINE", Engine), key=lambda engine: engine.name))


def member(environ: Environ) -> Member | None:
    """What this process is in its world; None where no engine says.

    An engine that another one has started (torchrun under srun, mpirun under LSF) speaks for the process."""
    found = _found(environ)
    return None if found is None else found[1]


def run_named(environ: Environ) -> str:
    """What the launcher calls this launch, the same for all of its ranks; "" where it has no name for it."""
    found = _found(environ)
    return "" if found is None else ".".join(environ[name] for name in found[0].run if environ.get(name))


def held(environ: Environ) -> Allocation | None:
    """The allocation in which this process is to start the ranks; None where it is a rank itself, or there is none."""
    if any(name in environ for name in _OWN) or member(environ) is not None:
        return None
    return next((a for e in engines() if e.holds is not None and (a := e.holds(environ)) is not None), None)


def _found(environ: Environ) -> tuple[Engine, Member] | None:
    found = {engine.name: (engine, said) for engine in engines() if (said := engine.detect(environ)) is not None}
    outer = {name for engine, _ in found.values() for name in engine.within}
    inner = [both for name, both in found.items() if name not in outer]
    return inner[0] if inner else None


def completed(environ: Environ) -> tuple[dict[str, str], Member | None]:
    """What torch's env:// rendezvous reads and the environment lacks, as the engine's own variables say it.

    Nothing where RANK or WORLD_SIZE is set: somebody has set up the rest too, and what is missing there is a fault."""
    if any(name in environ for name in _OWN):
        return {}, None
    said = member(environ)
    if said is None:
        return {}, None
    wanted: Mapping[str, object] = {
        "RANK": said.rank,
        "WORLD_SIZE": said.world_size,
        "LOCAL_RANK": said.local_rank,
        "LOCAL_WORLD_SIZE": said.local_world_size,
        "MASTER_ADDR": said.first_host or None,
        "MASTER_PORT": said.port if said.port is not None else 29500,
    }
    return {name: str(value) for name, value in wanted.items() if value is not None and name not in environ}, said
