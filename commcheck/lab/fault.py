"""What a module of `commcheck.lab.faults` exports as `FAULT`: a kind of fault, and how to make it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

from commcheck.lab.lab import Lab
from commcheck.model.fault import FaultSpec
from commcheck.registry import exported


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault.

    `spec`: its parameters, a subclass of FaultSpec with a tag. `make(lab, spec)`: entering makes the fault, leaving takes
    it back; it raises LaunchError where this machine cannot make it. `leads_to`: the causes that commcheck should name
    when this is all that is wrong (several: it depends on the parameters). `missing(spec)`: why this machine cannot make
    it, in one sentence, or nothing; must be cheap."""

    spec: type[FaultSpec]
    make: Callable[[Lab, Any], AbstractContextManager[object]]
    leads_to: tuple[str, ...]
    missing: Callable[[Any], str] = lambda _: ""

    @property
    def kind(self) -> str:
        """The name by which scenarios call it."""
        return str(self.spec.__struct_config__.tag)


@cache
def kinds() -> dict[str, Fault]:
    """All kinds by name. Raises ValueError when two modules claim one name."""
    found: dict[str, Fault] = {}
    for fault in exported("commcheck.lab.faults", "FAULT", Fault):
        if fault.kind in found:
            raise ValueError(f"two faults are called {fault.kind}")
        found[fault.kind] = fault
    return found
