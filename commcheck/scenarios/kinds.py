"""The type of a scenario file: `Scenario`, with the kinds of faults that there are as files."""

from __future__ import annotations

import ast
import operator
import sys
from functools import cache, reduce
from pathlib import Path
from typing import Any

import msgspec

from commcheck.lab.fault import Fault, kinds
from commcheck.model.fault import FaultSpec, RankFault
from commcheck.model.scenario import Scenario
from commcheck.registry import rank_faults


@cache
def host_kinds() -> dict[str, Fault]:
    """The faults of hosts and networks. Raises ValueError when a fault of a rank has the same name."""
    both = kinds().keys() & set(rank_faults())
    if both:
        raise ValueError(f"a fault of a host and one of a rank are both called {', '.join(sorted(both))}")
    return kinds()


@cache
def specs() -> dict[str, type[FaultSpec]]:
    """The type of every kind's parameters, by the kind's name."""
    found: dict[str, type[FaultSpec]] = {name: fault.spec for name, fault in host_kinds().items()}
    for name in rank_faults():
        # Named after its kind, since that is what the schema calls it.
        made: type[FaultSpec] = msgspec.defstruct(  # type: ignore[assignment]  # a subclass of its base
            name.title().replace("-", ""), [], bases=(RankFault,), tag=name, frozen=True, kw_only=True
        )
        made.__doc__ = "A rank's program does this: see the file of that name in commcheck/worker/faults."
        found[name] = made
    return dict(sorted(found.items()))


def described() -> dict[str, str]:
    """Every kind and what it does, in a line: the first of its module's docstring."""
    hosts = {name: sys.modules[fault.spec.__module__].__doc__ or "" for name, fault in host_kinds().items()}
    folder = Path(__file__).parents[1] / "worker" / "faults"
    ranks = {
        name: ast.get_docstring(ast.parse((folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))) or ""
        for name in rank_faults()
    }
    return {name: text.splitlines()[0] for name, text in sorted((hosts | ranks).items())}


@cache
def file_type() -> type[Scenario]:
    """The type that a file is checked against, and that the JSON Schema is made from."""
    union: Any = reduce(operator.or_, specs().values())
    made: type[Scenario] = msgspec.defstruct(  # type: ignore[assignment]
        "ScenarioFile", [("fault", tuple[union, ...], ())], bases=(Scenario,), frozen=True, kw_only=True
    )
    made.__doc__ = Scenario.__doc__
    return made
