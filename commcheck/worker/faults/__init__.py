"""Faults that a rank makes on purpose, to try the analyzer on. Each module exports FAULT, a subclass of
`context.Fault`; its name is the module's with hyphens. New fault, new file."""

import importlib

from commcheck.model.plan import FaultAt
from commcheck.worker.context import Fault


def load(faults: tuple[FaultAt, ...]) -> tuple[Fault, ...]:
    """The faults of a plan. Raises ModuleNotFoundError for a name that does not exist."""
    return tuple(
        importlib.import_module(f"commcheck.worker.faults.{f.name.replace('-', '_')}").FAULT(f.phase, f.argument)
        for f in faults
    )
