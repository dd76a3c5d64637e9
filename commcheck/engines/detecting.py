"""Which engine has started this process, by its variables: the innermost one where several have."""

from __future__ import annotations

from collections.abc import Mapping

from commcheck import registry
from commcheck.engines.base import Engine, Environ, Member

_OWN = ("RANK", "WORLD_SIZE")


def engines() -> tuple[Engine, ...]:
    """All engines, by name."""
    return tuple(sorted(registry.exported("commcheck.engines", "ENGINE", Engine), key=lambda engine: engine.name))


def member(environ: Environ) -> Member | None:
    """What this process is in its world; None where no engine says.

    An engine that another one has started (torchrun under srun, mpirun under LSF) speaks for the process."""
    found = {engine.name: (engine, said) for engine in engines() if (said := engine.detect(environ)) is not None}
    outer = {name for engine, _ in found.values() for name in engine.within}
    inner = [said for name, (_, said) in found.items() if name not in outer]
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
