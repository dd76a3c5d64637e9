"""How the options of `commcheck preflight` are read, whether it starts a world or joins one."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from commcheck.errors import UsageError
from commcheck.model.plan import FaultAt
from commcheck.registry import rank_faults

T = TypeVar("T")


def command() -> tuple[str, ...]:
    """The command line as it can be typed again."""
    return ("commcheck", *sys.argv[1:])


def gpu_count(environ: Mapping[str, str]) -> int:
    """GPUs that a job here may use, without a driver call: device files, narrowed by CUDA_VISIBLE_DEVICES."""
    found = len(glob.glob("/dev/nvidia[0-9]*"))
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return found
    from commcheck.diagnose import visible

    return min(found, len(visible.read(listed).devices))


def assignment(option: str, text: str) -> tuple[str, str]:
    """`K=V`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"{option} {text}: write NAME=VALUE")
    return name, value


def of_rank(option: str, text: str, size: int, parse: Callable[[str], T]) -> tuple[int, T]:
    """`R:REST`, with REST parsed. Raises UsageError."""
    rank, colon, rest = text.partition(":")
    if not colon or not rank.isdigit():
        raise UsageError(f"{option} {text}: write RANK:..., for example 1:{'NAME=VALUE' if 'env' in option else '...'}")
    if int(rank) >= size:
        raise UsageError(f"{option} {text}: there is no rank {rank} in a world of {size}")
    return int(rank), parse(rest)


def namespace(name: str) -> str:
    """A network namespace by the name that `ip netns` gave it. Raises UsageError."""
    if not name or "/" in name or not os.path.exists(f"/run/netns/{name}"):
        raise UsageError(f"--netns: no network namespace named {name!r} (ip netns list shows them)")
    return name


def fault(text: str) -> FaultAt:
    """`FAULT[@PHASE][=ARGUMENT]`. Raises UsageError."""
    head, _, argument = text.partition("=")
    name, _, phase = head.partition("@")
    from commcheck.model.phase import PHASES

    if phase and phase not in PHASES:
        raise UsageError(f"--inject {text}: no phase {phase!r}; phases are {', '.join(PHASES)}")
    known = rank_faults()
    if name not in known:
        raise UsageError(f"--inject {text}: no fault {name!r}; faults are {', '.join(known)}")
    return FaultAt(name=name, phase=phase or "verify", argument=argument)
