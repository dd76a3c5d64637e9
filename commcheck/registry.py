"""Find the modules of a folder that export one named constant. The only discovery that there is."""

import importlib
import os
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


@cache
def modules(package: str) -> tuple[ModuleType, ...]:
    """Import and return all modules below `package` (recursively), sorted by name.

    Raises ImportError when one of them does not import: a broken rule must not be skipped in silence."""
    root = importlib.import_module(package)
    names = sorted(name for folder in root.__path__ for name in _names(folder, package))
    return tuple(importlib.import_module(name) for name in names)


def _names(folder: str, package: str) -> Iterator[str]:
    """The modules in a folder and the packages below it. (pkgutil does the same and costs 5 ms of start-up.)"""
    for entry in os.scandir(folder):
        if entry.is_dir() and os.path.exists(os.path.join(entry.path, "__init__.py")):
            yield from _names(entry.path, f"{package}.{entry.name}")
        elif entry.name.endswith(".py") and entry.name != "__init__.py":
            yield f"{package}.{entry.name[:-3]}"


def exported(package: str, constant: str, kind: type[T]) -> tuple[T, ...]:
    """The value of `constant` in every module below `package` that has one, in module order.

    Raises TypeError when such a constant is not a `kind`."""
    found: list[T] = []
    for module in modules(package):
        value = getattr(module, constant, None)
        if value is None:
            continue
        if not isinstance(value, kind):
            raise TypeError(f"{module.__name__}.{constant} is not a {kind.__name__}")
        found.append(value)
    return tuple(found)


def rank_faults() -> tuple[str, ...]:
    """The names of the faults that a rank's own program can make, from their files: importing one would import torch."""
    folder = os.path.join(os.path.dirname(__file__), "worker", "faults")
    return tuple(sorted(f[:-3].replace("_", "-") for f in os.listdir(folder) if f.endswith(".py") and f[0] != "_"))
