"""Find the modules of a folder that export one named constant. The only discovery that there is."""

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import TypeVar

import msgspec

T = TypeVar("T")
_BEGAN = time.time_ns()


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
    return tuple(value for _, value in exporting(package, constant, kind))


def exporting(package: str, constant: str, kind: type[T]) -> Iterator[tuple[str, T]]:
    """As `exported`, each with its module's name."""
    for module in modules(package):
        if hasattr(module, constant):
            yield module.__name__, _checked(module, constant, kind)


def one(module: str, constant: str, kind: type[T]) -> T:
    """The value of `constant` in one module, which is imported."""
    return _checked(importlib.import_module(module), constant, kind)


def _checked(module: ModuleType, constant: str, kind: type[T]) -> T:
    value = getattr(module, constant)
    if not isinstance(value, kind):
        raise TypeError(f"{module.__name__}.{constant} is not a {kind.__name__}")
    return value


def remembered(asking: str, kind: type[T], make: Callable[[], T], *packages: str) -> T:
    """What `make` gathers from all modules of `packages`, without importing them again while none of them changes.

    It is kept for the module named `asking` as Python keeps that module compiled: in the same folder, where and when
    Python would write there. Names, sizes and times of all sources stand before it, so it is never older than they."""
    spec = sys.modules[asking].__spec__
    stamps = [stamp for package in packages for stamp in _stamps(package)]
    if spec is None or spec.cached is None or not stamps:
        return make()
    file, stamp = spec.cached.removesuffix(".pyc") + ".json", f"{sorted(stamps)}\n".encode()
    try:
        with open(file, "rb") as kept:
            data = kept.read()
        if data.startswith(stamp):
            return msgspec.json.decode(data[len(stamp) :], type=kind)
    except (OSError, msgspec.DecodeError):
        pass
    made = make()
    # A source that was edited while we ran may have been imported before that.
    if not sys.dont_write_bytecode and max(changed for _, changed, _ in stamps) < _BEGAN:
        keep = getattr(spec.loader, "set_data", None)  # in one step, and silent where it may not write
        if keep is not None:
            keep(file, stamp + msgspec.json.encode(made))
    return made


def _stamps(package: str) -> Iterator[tuple[str, int, int]]:
    """Path, time of change and size of each module of a package; none where they are not files."""
    for folder in importlib.import_module(package).__path__:
        yield from _files(folder)


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(".py"):
            status = entry.stat()
            yield entry.path, status.st_mtime_ns, status.st_size
        elif "." not in entry.name and entry.name != "__pycache__":
            yield from _files(entry.path)


def rank_faults() -> tuple[str, ...]:
    """The names of the faults that a rank's own program can make, from their files: importing one would import torch."""
    folder = os.path.join(os.path.dirname(__file__), "worker", "faults")
    return tuple(sorted(f[:-3].replace("_", "-") for f in os.listdir(folder) if f.endswith(".py") and f[0] != "_"))
