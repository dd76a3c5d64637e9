"""Which of a shell's variables the worlds are tried with, and which without: what is said here about communication is what is
to be found out. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from commcheck.catalog.env import lookup, read_at_import
from commcheck.planner import LAUNCHER_VARIABLES

OWNERS = frozenset({"torch", "gloo", "nccl", "tensorpipe"})
RESOLVER = frozenset({"RES_OPTIONS", "LOCALDOMAIN"})
FAMILIES = ("GLOO_", "NCCL_")
"""Of these also what the catalogue does not know."""
ELASTIC = "TORCHELASTIC_"
"""torchrun's own; with them a rank takes the launcher's store for that of its world."""


def split(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What every rank keeps, and what is left out at first and tried in the end. A launcher's variables of this process
    are in neither; where rank 0 is was somebody's setting, and is in the second."""
    kept: dict[str, str] = {}
    left: dict[str, str] = {}
    for name, value in environ.items():
        if name.startswith(ELASTIC) or (name in LAUNCHER_VARIABLES and not name.startswith("MASTER_")):
            continue
        (left if name.startswith("MASTER_") or _about_communication(name) else kept)[name] = value
    return kept, left


def _about_communication(name: str) -> bool:
    if name in RESOLVER or name.startswith(FAMILIES):
        return True
    row = lookup(name)
    # What is read when torch is imported would cost a fresh interpreter for every rank of every world.
    return row is not None and row.owner in OWNERS and not read_at_import(name)
