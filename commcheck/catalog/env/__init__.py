"""The environment variables that bear on communication, and what a name that is none of them probably meant.

What may not be here: a look at the real environment (callers pass names and values), and judgement.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from commcheck.catalog.env.row import EnvVar, Kind, ReadAt

__all__ = ("EnvVar", "Kind", "ReadAt", "known", "lookup", "nearest", "read_at_import")

IMPORT_PREFIXES: tuple[str, ...] = (
    "CUDA_",
    "GOMP_",
    "HIP_",
    "HSA_",
    "KMP_",
    "LC_",
    "LD_",
    "MALLOC_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "OPENBLAS_",
    "PYTHON",
    "PYTORCH_",
    "ROCR_",
    "TORCH_",
)
"""Families whose members are read when the interpreter starts or a library is loaded, unless a row says otherwise."""

LATE_PREFIXES: tuple[str, ...] = ("SLURM_", "OMPI_", "PMI", "PET_", "HOROVOD_", "NCCL_", "UCC_", "UCX_", "FI_")
"""Families that are read later: by the program itself, or by a library that is first used when a group is formed."""


@cache
def known() -> Mapping[str, EnvVar]:
    """Every row by name, in the order of the tables."""
    from commcheck.catalog.env import gloo, launchers, nccl, pytorch, system

    tables = (pytorch.ROWS, gloo.ROWS, nccl.ROWS, launchers.ROWS, system.ROWS)
    return MappingProxyType({row.name: row for table in tables for row in table})


def lookup(name: str) -> EnvVar | None:
    """The row of a variable, or None when it is not in the catalogue."""
    return known().get(name)


def read_at_import(name: str) -> bool:
    """Whether a value must be there when the interpreter starts or torch is imported to have its effect for certain.

    True for rows that say so, and for names without a row that belong to a family read that early. A name that
    nothing is known about counts as late: it is the program's own, and a program reads when it runs."""
    row = lookup(name)
    if row is not None:
        return row.read_at is ReadAt.IMPORT
    return name.startswith(IMPORT_PREFIXES) and not name.startswith(LATE_PREFIXES)


def nearest(name: str) -> str | None:
    """The known name that `name` is probably a misspelling of, or None when nothing is near enough.

    Near enough: at most one edit in six characters and never more than three, or the same words in another order
    (NCCL_IFNAME_SOCKET). An exact name, also one in the wrong case, is its own nearest."""
    rows = known()
    upper = name.upper()
    if name in rows:
        return name
    if upper in rows:
        return upper
    words = sorted(upper.split("_"))
    budget = min(3, max(1, len(upper) // 6))
    best: str | None = None
    for candidate in rows:
        if abs(len(candidate) - len(upper)) > budget:
            continue
        if candidate[:1] != upper[:1] and candidate[1:2] != upper[1:2]:
            continue
        if sorted(candidate.split("_")) == words:
            return candidate
        distance = edit_distance(upper, candidate, budget)
        if distance <= budget:
            budget, best = distance - 1, candidate
            if budget < 1:
                break
    return best


def edit_distance(left: str, right: str, limit: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that turn `left` into `right`.

    Stops early and returns `limit + 1` when it must be more than `limit`. Time: len(left) * (2 * limit + 1)."""
    if abs(len(left) - len(right)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        low, high = max(1, i - limit), min(len(right), i + limit)
        current = [limit + 1] * (len(right) + 1)
        current[0] = i
        for j in range(low, high + 1):
            b = right[j - 1]
            cost = min(row[j] + 1, current[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            current[j] = cost
        if min(current) > limit:
            return limit + 1
        before, row = row, current
    return min(row[len(right)], limit + 1)
