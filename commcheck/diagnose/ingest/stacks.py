"""Python stacks of ranks -> which part of a distributed program each is in: the store, the group, a collective, its own.

Frames are texts like `all_reduce (torch/distributed/distributed_c10d.py:3252)`, the innermost first, as py-spy writes
them. Names of functions are those of torch/distributed/{distributed_c10d,rendezvous,utils}.py, 1.8 to 2.13.

What may not be here: judgement about causes. Pure.
"""

import re
import sys
from collections.abc import Iterable, Sequence

from commcheck.model.base import Value
from commcheck.model.case import Collective, PhaseRecord
from commcheck.model.phase import PHASES, Phase, PhaseStatus

_FRAME = re.compile(r"(?P<name>.+?) \((?P<file>[^()]*?)(?::(?P<line>\d{1,9}))?\)$")

_STORE = frozenset((
    "rendezvous", "_rendezvous_helper", "_env_rendezvous_handler", "_tcp_rendezvous_handler", "_create_c10d_store",
    "_file_rendezvous_handler", "_torchelastic_use_agent_store",
))  # fmt: skip
_GROUP = frozenset(("init_process_group", "_new_process_group_helper", "_store_based_barrier", "connectFullMesh"))
_PREPARING = frozenset((
    "_sync_module_states", "_sync_params_and_buffers", "_verify_param_shape_across_processes",
    "_verify_params_across_processes", "_ddp_init_helper",
))  # fmt: skip
_COLLECTIVES = frozenset((
    "all_reduce", "all_reduce_coalesced", "all_gather", "all_gather_coalesced", "all_gather_into_tensor",
    "_all_gather_base", "all_gather_object", "all_to_all", "all_to_all_single", "barrier", "broadcast",
    "broadcast_object_list", "gather", "gather_object", "monitored_barrier", "new_group", "new_subgroups", "reduce",
    "reduce_scatter", "reduce_scatter_tensor", "_reduce_scatter_base", "scatter", "scatter_object_list", "split_group",
))  # fmt: skip
_POINT_TO_POINT = frozenset((
    "send", "recv", "isend", "irecv", "batch_isend_irecv", "send_object_list", "recv_object_list",
))  # fmt: skip
_OURS = ("torch/distributed/distributed_c10d.py", "torch/distributed/rendezvous.py", "torch/distributed/utils.py",
         "torch/nn/parallel/distributed.py")  # fmt: skip
_LIBRARIES = ("torch/", "site-packages/", "lib/python3", "<frozen")
_PACKAGES = ("asyncio/", "concurrent/futures/", "importlib/", "logging/", "multiprocessing/")
"""Of the standard library; others have names that a program's own folders may have too."""
_NOWHERE = "?"


class Standing(Value, frozen=True):
    """Where a rank is. `phase` None: in its own program, before or between what torch.distributed does. `op`: the
    collective that it is in. `waits`: it is in something that ends only when other ranks do their part. `at`: the
    innermost frame of the user's own."""

    phase: Phase | None
    op: str = ""
    waits: bool = False
    at: str = _NOWHERE

    @property
    def text(self) -> str:
        """For a report: `is in all_reduce, called at train (train.py:7)`."""
        if self.op:
            return f"is in {self.op}, called at {self.at}"
        if self.phase is Phase.STORE:
            return f"waits at the store, called at {self.at}"
        if self.phase is Phase.GROUP:
            return f"forms the process group, called at {self.at}"
        return f"is at {self.at}, in no collective"


def standing(frames: Sequence[str]) -> Standing:
    """Where the main thread is whose frames these are, the innermost first."""
    names: list[str] = []
    at = ""
    for frame in frames:
        match = _FRAME.match(frame)
        if match is None:
            continue
        file = match["file"].replace("\\", "/")
        name = match["name"].rpartition(".")[2]
        if file.endswith(_OURS):
            names.append(name)
        elif not at and not _of_a_library(name, file):
            at = frame
    at = at or (frames[0] if frames else _NOWHERE)
    if "init_process_group" in names:
        phase = Phase.STORE if _STORE.intersection(names) else Phase.GROUP
        return Standing(phase=phase, waits=True, at=at)
    if _STORE.intersection(names):
        return Standing(phase=Phase.STORE, waits=True, at=at)
    # The outermost: all_gather_object is what the program called, though it stands in an all_gather.
    op = next((n for n in reversed(names) if n in _COLLECTIVES or n in _POINT_TO_POINT), "")
    if op:
        return Standing(phase=Phase.STEADY, op=op, waits=True, at=at)
    if _PREPARING.intersection(names):
        return Standing(phase=Phase.FIRST_COLLECTIVE, op="broadcast of the parameters", waits=True, at=at)
    return Standing(phase=None, waits=False, at=at)


def _of_a_library(name: str, file: str) -> bool:
    """Whether a frame is nobody's own. py-spy writes files without the folder that they were imported from: `contextlib.py`.
    A program that is run may have the name of a module of the standard library; one that is imported hardly can."""
    if any(part in file for part in _LIBRARIES) or file.startswith(_PACKAGES):
        return True
    return name != "<module>" and "/" not in file and file.removesuffix(".py") in sys.stdlib_module_names


def beyond(all_of: Iterable[Standing | None]) -> bool:
    """Whether one of the ranks is in a collective, which it could come to only with all of them."""
    return any(s is not None and s.phase in (Phase.STEADY, Phase.FIRST_COLLECTIVE) for s in all_of)


def phases(mine: Standing | None, *, beyond: bool) -> tuple[PhaseRecord, ...]:
    """The phases that a rank has come through, as its own stack shows, and those of all (`beyond`). One that is in its
    own program has passed what another could pass only with it; where none of them has, it has not come to the store
    yet."""
    if mine is None:
        return ()
    return _up_to(mine.phase or (Phase.STEADY if beyond else Phase.RESOLVE))


def through() -> tuple[PhaseRecord, ...]:
    """The phases of a rank that is known to have come through its setup."""
    return _up_to(Phase.STEADY)


def steady(phases: Sequence[PhaseRecord]) -> bool:
    """Whether these are the phases of such a rank."""
    return bool(phases) and phases[-1].phase is Phase.STEADY


def _up_to(current: Phase) -> tuple[PhaseRecord, ...]:
    done = PHASES[: PHASES.index(current)]
    return (
        *(PhaseRecord(phase=p, status=PhaseStatus.OK, begin=0.0, seconds=0.0) for p in done),
        PhaseRecord(phase=current, status=PhaseStatus.RUNNING, begin=0.0, seconds=0.0),
    )


def collectives(mine: Standing | None) -> tuple[Collective, ...]:
    """The call that a rank is in; what it brings, and what it called before, a stack does not show. Point-to-point calls
    are none: each side calls another one."""
    if mine is None or not mine.op or mine.op in _POINT_TO_POINT or mine.phase is not Phase.STEADY:
        return ()
    return (Collective(index=0, op=mine.op, shape=(), dtype="", phase=Phase.STEADY, done=False),)
