"""The collectives that a program of the user's calls, recorded as they are made.

torch's functions are wrapped in the modules where programs find them, before any program is imported. Calls of the default
group go into the journal as collectives, so that the rules can compare them between ranks; those of other groups, and
between two ranks, go there as notes: who is in which, without a claim about their order. What torch issues below Python
(DistributedDataParallel's reductions) is not seen."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d as c10d

from commcheck.model.base import spans
from commcheck.model.case import Collective
from commcheck.model.phase import Phase
from commcheck.worker.journal import Journal

SAME_SIZE = {
    "all_reduce": "tensor",
    "broadcast": "tensor",
    "reduce": "tensor",
    "all_gather": "tensor",
    "all_gather_into_tensor": "input_tensor",
    "reduce_scatter": "output",
    "reduce_scatter_tensor": "output",
    "all_gather_single": "input_tensor",
    "reduce_scatter_single": "output",
    "gather": "tensor",
    "scatter": "tensor",
}
"""Calls to which every rank brings equally much, and the argument that shows how much."""
ANY_SIZE = (
    "all_to_all",
    "all_to_all_single",
    "all_gather_object",
    "broadcast_object_list",
    "gather_object",
    "scatter_object_list",
    "barrier",
    "monitored_barrier",
)
"""Calls to which ranks may bring different amounts."""
BETWEEN_TWO = {
    "send": ("dst", "group_dst"),
    "recv": ("src", "group_src"),
    "send_object_list": ("dst", "group_dst"),
    "recv_object_list": ("src", "group_src"),
}
"""Calls that one rank makes towards another, and the arguments that name it."""

OPEN, CLOSED = "call", "call-returned"
"""Kinds of notes: a call that is no collective of the default group, and its return."""


class _Recorder(threading.local):
    """Where calls go. Only those of the thread that began are recorded, and of nested ones only the outermost: what torch
    does inside of a call, and what other threads do, has no place in the order of the program's calls."""

    journal: Journal | None = None
    inside = False


_recorder = _Recorder()


@contextmanager
def recorded(journal: Journal) -> Iterator[None]:
    """Record the calls of this thread while the block runs."""
    _recorder.journal = journal
    try:
        yield
    finally:
        _recorder.journal = None


def install() -> None:
    """Wrap torch's functions, once."""
    for name in (*SAME_SIZE, *ANY_SIZE, *BETWEEN_TWO):
        function = getattr(c10d, name, None)
        if function is None or hasattr(function, "__commcheck__"):
            continue
        wrapped = _wrapped(name, function)
        for module in (c10d, dist):
            if getattr(module, name, None) is function:
                setattr(module, name, wrapped)


def _wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        journal = _recorder.journal
        if journal is None or _recorder.inside:
            return function(*args, **kwargs)
        try:
            arguments = signature.bind(*args, **kwargs).arguments
            done = _note(journal, name, arguments)
        except Exception:  # a wrong call: torch is to say so itself, in its own words
            return function(*args, **kwargs)
        _recorder.inside = True
        try:
            result = function(*args, **kwargs)
        except BaseException:
            journal.noted(CLOSED, "raised")  # the rank is not in it any more, and it has not come back either
            raise
        finally:
            _recorder.inside = False
        done()
        return result

    call.__commcheck__ = True  # type: ignore[attr-defined]
    return call


def _note(journal: Journal, name: str, arguments: dict[str, Any]) -> Callable[[], None]:
    """Write the call down; returns what writes down that it came back."""
    group = arguments.get("group")
    members = "" if group is None or group is dist.group.WORLD else spans(dist.get_process_group_ranks(group))
    if name in BETWEEN_TWO or members:
        peers = [arguments[a] for a in BETWEEN_TWO.get(name, ()) if arguments.get(a) is not None]
        direction = "from" if name.startswith("recv") else "to"
        where = f" {direction} rank {peers[0]}" if peers else " from any rank" if name == "recv" else ""
        journal.noted(OPEN, f"{name}{where}{f' in the group of ranks {members}' if members else ''}")
        return lambda: journal.noted(CLOSED, "")
    tensor: Any = arguments.get(SAME_SIZE.get(name, ""))
    known = torch.is_tensor(tensor)
    reduction = arguments.get("op") if "reduce" in name else None
    collective = Collective(
        index=0,
        op=name,
        shape=(int(tensor.numel()),) if known else (),
        dtype=str(tensor.dtype).removeprefix("torch.") if known else "",
        reduce_op=_reduction(reduction) if "reduce" in name else "",
        phase=Phase.STEADY,
    )
    index = journal.issued(collective)
    return lambda: journal.returned(index)


def _reduction(op: Any) -> str:
    """sum, max, ...: the default is a sum."""
    name = str(dist.ReduceOp.SUM if op is None else getattr(op, "op", op))
    return name.rpartition(".")[2].lower()
