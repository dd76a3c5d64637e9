"""Torch's operations on "cuda" tensors, carried out by the CPU on the memory that they are: see cuda.cpp.

Installed into the stand-in's environment by build.py, and imported when its interpreter starts; acts when torch is imported.
Only what commcheck's worlds use is here."""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

OPERATIONS = (
    *(
        "fill_.Scalar",
        "zero_",
        "copy_",
        "_local_scalar_dense",
        "remainder.Scalar",
        "remainder.Tensor",
        "add.Tensor",
        "add.out",
    ),
    *(
        "add_.Tensor",
        "sub.Tensor",
        "mul.Tensor",
        "mul_.Tensor",
        "div.Tensor",
        "div_.Tensor",
        "maximum",
        "minimum",
        "abs",
    ),
    *(
        "eq.Tensor",
        "eq.Scalar",
        "ne.Tensor",
        "ne.Scalar",
        "lt.Scalar",
        "gt.Scalar",
        "all",
        "all.dim",
        "any",
        "min",
        "max",
    ),
    *(
        "bitwise_not",
        "bitwise_and.Tensor",
        "bitwise_or.Tensor",
        "nonzero",
        "index.Tensor",
        "masked_select",
        "cat",
        "equal",
    ),
    *("sum", "sum.dim_IntList", "sum.IntList_out", "mean", "isnan", "isfinite", "ceil"),
)
kept: list[object] = []
"""What is registered lasts as long as its library object."""


def host(value: Any) -> Any:
    """The same values as a CPU tensor, in the same memory."""
    import torch

    if isinstance(value, list | tuple):
        return type(value)(map(host, value))
    if isinstance(value, torch.device):
        return torch.device("cpu")
    if not isinstance(value, torch.Tensor) or value.device.type != "cuda":
        return value
    storage = value.untyped_storage()
    if not storage.nbytes() or not value.numel():
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
    memory = (ctypes.c_char * storage.nbytes()).from_address(storage.data_ptr())
    return torch.frombuffer(memory, dtype=value.dtype).as_strided(value.shape, value.stride(), value.storage_offset())


def back(value: Any, device: Any) -> Any:
    """A result of the CPU on a device."""
    import torch

    if isinstance(value, list | tuple):
        return type(value)(back(one, device) for one in value)
    if not isinstance(value, torch.Tensor):
        return value
    made = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
    if value.numel():
        host(made).copy_(value)
    return made


def device_of(values: Iterable[Any]) -> Any:
    """The first device that is met among some arguments."""
    import torch

    for value in values:
        if isinstance(value, torch.Tensor) and value.device.type == "cuda":
            return value.device
        if isinstance(value, list | tuple) and (found := device_of(value)) is not None:
            return found
    return None


def carried_out(name: str) -> Callable[..., Any]:
    """An operation of the CPU, for tensors of a device."""
    import torch

    packet, _, overload = name.partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
    arguments = operation._schema.arguments  # noqa: SLF001 (what an operation writes is said nowhere else)
    written = [n for n, a in enumerate(arguments) if a.alias_info is not None and a.alias_info.is_write]

    def run(*args: Any, **kwargs: Any) -> Any:
        torch.cuda.current_stream().synchronize()
        device = device_of((*args, *kwargs.values()))
        result = operation(*map(host, args), **{k: host(v) for k, v in kwargs.items()})
        if written:
            return args[written[0]] if written[0] < len(args) else kwargs[arguments[written[0]].name]
        return back(result, device)

    return run


def install() -> None:
    """Take the place of torch's own operations on CUDA."""
    import torch

    library = torch.library.Library("aten", "IMPL", "CUDA")
    for name in OPERATIONS:
        library.impl(name, carried_out(name), allow_override=True)

    def arange(start: Any, end: Any, step: Any = 1, *, out: Any) -> Any:
        made = torch.arange(start, end, step, dtype=out.dtype)
        torch.cuda.current_stream().synchronize()
        host(out.resize_(made.shape)).copy_(made)
        return out

    library.impl("arange.start_out", arange, allow_override=True)
    kept.append(library)


class _Once(importlib.abc.MetaPathFinder):
    """Installs when torch has been imported."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def then_install(module: ModuleType) -> None:
            execute(module)
            install()

        spec.loader.exec_module = then_install
        return spec


sys.meta_path.insert(0, _Once())
