"""Which libnccl a job of this Python would load, found from files alone.

torch's own library says where it looks (its RPATH or RUNPATH); without torch it is the wheel on the path, then what the
loader would find. Nothing is loaded, and nothing is imported."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from commcheck.model.base import Value
from commcheck.probe.nccl_elf import Needs, needs

VARIABLE = "COMMCHECK_NCCL_LIBRARY"
"""Names the library outright: for hosts where it lies elsewhere, and for tests."""
NAME = "libnccl.so.2"
SYSTEM = (
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
    "/usr/local/lib", "/usr/local/cuda/lib64",
)  # fmt: skip
"""Where a loader looks that has no cache; the last one only with a line in /etc/ld.so.conf.d, as NVIDIA's packages write."""
CACHE = "/etc/ld.so.cache"


class Found(Value, frozen=True):
    """A library, or where none was: `path` is empty then, and `looked` says where and what was there instead."""

    path: str = ""
    found_by: str = ""
    looked: tuple[str, ...] = ()


def find(environment: Mapping[str, str], explicit: str = "", path: Sequence[str] | None = None) -> Found:
    """The library for a job with this environment. `explicit`: a file that was named; `path`: Python's, else our own."""
    named = explicit or environment.get(VARIABLE, "") or os.environ.get(VARIABLE, "")
    if named:
        by = "named by --nccl-library" if explicit else f"named by {VARIABLE}"
        file = os.path.join(named, NAME) if os.path.isdir(named) else named
        return (
            Found(path=file, found_by=by) if os.path.isfile(file) else Found(looked=(f"{file} ({by}): no such file",))
        )
    looked: list[str] = []
    for by, file in _candidates(environment, sys.path if path is None else path, looked):
        if os.path.isfile(file):
            return Found(path=os.path.realpath(file), found_by=by)
        looked.append(by)
    return Found(looked=tuple(dict.fromkeys(looked)))


def _candidates(environment: Mapping[str, str], path: Sequence[str], looked: list[str]) -> Iterator[tuple[str, str]]:
    """How and where the library may be found, in the loader's order."""
    for file in re.split(r"[ :]+", environment.get("LD_PRELOAD", "")):
        if os.path.basename(file).startswith("libnccl.so"):
            yield "LD_PRELOAD", file
    libraries = [("LD_LIBRARY_PATH", d) for d in environment.get("LD_LIBRARY_PATH", "").split(":") if d]
    torch = next((f for d in path if os.path.isfile(f := os.path.join(d, "torch", "lib", "libtorch_cuda.so"))), "")
    asked = _asked(torch, looked) if torch else Needs()
    built_in = torch and not any(name.startswith("libnccl.so") for name in asked.needed)
    if built_in:
        looked.append(f"{torch}: it has NCCL built in, which cannot be asked without the rest of torch")
        return
    wheels = [("an nvidia-nccl wheel", os.path.join(d, "nvidia", "nccl", "lib")) for d in path]
    # With a RUNPATH or without torch what LD_LIBRARY_PATH holds comes first; torch imports its wheels itself if need be.
    for by, directory in (
        *(("torch's RPATH", d) for d in asked.rpath if not asked.runpath),
        *libraries,
        *(("torch's RUNPATH", d) for d in asked.runpath),
        *wheels,
        *_cached(),
        *(("the system", d) for d in SYSTEM),
    ):
        yield by, os.path.join(directory or ".", NAME)


def _asked(torch: str, looked: list[str]) -> Needs:
    try:
        return needs(os.path.realpath(torch))
    except (OSError, ValueError) as e:
        looked.append(f"{torch}: {e}")
        return Needs(needed=(NAME,))


def _cached() -> Iterator[tuple[str, str]]:
    """The directory that the loader's cache has for the library."""
    try:
        with open(CACHE, "rb") as file:
            found = re.search(rb"\0(/[^\0]*)/libnccl\.so\.2\0", file.read())
    except OSError:
        return
    if found:
        yield "the system", found[1].decode(errors="replace")
