"""What a scenario may require of the machine, and why it is not there."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable

from commcheck.lab.memory import groups_root
from commcheck.lab.requirements import missing_for
from commcheck.model.scenario import Scenario
from commcheck.scenarios.kinds import host_kinds

OTHER_PYTHON = "COMMCHECK_OTHER_PYTHON"
"""The variable that names a second interpreter."""


def _memory_group() -> str:
    return "" if groups_root() is not None and os.geteuid() == 0 else "no memory control group can be made here"


def _gpu() -> str:
    return "" if glob.glob("/dev/nvidia[0-9]*") else "no GPU is here"


def _two_gpus() -> str:
    found = len(glob.glob("/dev/nvidia[0-9]*"))
    return "" if found > 1 else f"two GPUs are needed, and here {'is one' if found else 'are none'}"


def _nccl() -> str:
    """A GPU, and a torch that has NCCL. torch is looked at and not imported."""
    if why := _gpu():
        return why
    from importlib.util import find_spec

    found = find_spec("torch")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    built = any(os.path.exists(os.path.join(folder, "lib", "libtorch_cuda.so")) for folder in folders)
    return "" if built else "torch is not built with CUDA here"


def _no_rdma() -> str:
    return "an RDMA card is here" if glob.glob("/sys/class/infiniband/*") else ""


def other_python() -> str:
    """A second interpreter, with another version of torch: OTHER_PYTHON names it."""
    return os.environ.get(OTHER_PYTHON, "")


def _other_torch() -> str:
    if not other_python():
        return f"no second torch: {OTHER_PYTHON} must name an interpreter that has another version (and msgspec)"
    return "" if os.access(other_python(), os.X_OK) else f"{OTHER_PYTHON} {other_python()}: cannot be run"


def _root() -> str:
    """The machine's root, and not that of a user namespace, which holds few users."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        users = sum(int(line.split()[2]) for line in file)
    return "" if os.geteuid() == 0 and users > NOBODY else "this needs root"


NOBODY = 65534
"""The user that a rank may become (see worker/faults/as_user.py)."""

FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"
"""libfaketime, as Debian installs it: what gives a process another wall clock."""


def faketime() -> str:
    """The library's file; empty when it is not installed."""
    return next(iter(sorted(glob.glob(FAKETIME))), "")


def _faketime() -> str:
    return "" if faketime() else "libfaketime is not installed (Debian's package libfaketime)"


NEEDS: dict[str, Callable[[], str]] = {
    "gpu": _gpu,
    "two-gpus": _two_gpus,
    "nccl": _nccl,
    "no-rdma": _no_rdma,
    "memory-group": _memory_group,
    "other-torch": _other_torch,
    "faketime": _faketime,
    "root": _root,
}
"""By name: why it is missing, or nothing."""


def missing(scenario: Scenario) -> str:
    """Why this scenario cannot be run here, in one sentence; empty when it can."""
    if scenario.lab is not None:
        why = missing_for(scenario.lab)
        if why:
            return why
    own = list(scenario.requires)
    own += ["memory-group"] if any(r.memory for r in scenario.ranks.values()) else []
    own += ["faketime"] if any(r.clock for r in scenario.ranks.values()) else []
    own += ["other-torch"] if any(r.other_torch for r in scenario.ranks.values()) else []
    for name in dict.fromkeys(own):
        why = NEEDS[name]()
        if why:
            return why
    for fault in scenario.fault:
        entry = host_kinds().get(fault.__struct_config__.tag)
        why = entry.missing(fault) if entry is not None else ""
        if why:
            return why
    return ""
