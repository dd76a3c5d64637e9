"""Versions of what takes part, without importing any of it.

A distribution's version stands in the name of its .dist-info directory. Reading names costs a tenth of what
`importlib.metadata` costs, which parses mail headers.
"""

import os
import re
import sys

from commcheck import __version__

PACKAGES: tuple[str, ...] = (
    "torch",
    "numpy",
    "mpi4py",
    "nvidia-nccl-cu11",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
    "horovod",
    "deepspeed",
    "accelerate",
    "lightning",
    "pytorch-lightning",
    "ray",
    "netifaces-plus",
    "psutil",
)
"""The distributions whose versions bear on communication or on commcheck's own view of it."""

_INFO = re.compile(r"(.+?)-([^-]+)\.(?:dist|egg)-info", re.IGNORECASE)


def installed(path: list[str] | None = None, packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """The installed version of each of `packages` along `path` (default: sys.path); the first one found counts, as it
    would for an import. Directories that cannot be read are passed over."""
    wanted = {_normal(name): name for name in packages}
    found: dict[str, str] = {}
    for directory in sys.path if path is None else path:
        try:
            entries = os.listdir(directory or ".")
        except OSError:
            continue
        for entry in entries:
            if not entry.endswith("-info"):
                continue
            match = _INFO.fullmatch(entry)
            name = wanted.get(_normal(match[1])) if match else None
            if match and name:
                found.setdefault(name, match[2])
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions() -> dict[str, str]:
    """commcheck, python, kernel and the installed packages, by name. Raises OSError when the kernel has no name."""
    found = {
        "commcheck": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "kernel": os.uname().release,
    }
    found.update(sorted(installed().items()))
    return found
