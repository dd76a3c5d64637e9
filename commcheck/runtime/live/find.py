"""Which processes are the ranks of a job: those that were started with RANK and WORLD_SIZE in their environment.

Their children inherit both (data loaders, compilers), and so does a shell around them: of a line of processes with one
rank the topmost that has torch in its memory is meant, or else the topmost Python."""

from __future__ import annotations

import os
from collections.abc import Iterable

from commcheck.errors import InputError, UsageError
from commcheck.model.base import Value
from commcheck.system import procs

RANK, SIZE = "RANK", "WORLD_SIZE"


class Found(Value, frozen=True):
    """A process of the job. `environment` None: it could not be read."""

    pid: int
    environment: dict[str, str] | None


def given(pids: list[int]) -> tuple[Found, ...]:
    """The named processes; one that is no rank itself, such as torchrun, stands for the ranks below it.

    Raises InputError for one that is not there."""
    found: dict[int, Found] = {}
    for pid in pids:
        if pid <= 0 or procs.owner(pid) is None:
            raise InputError(f"--pid {pid}: no such process here: is it on this host, and still running?")
        mine = Found(pid=pid, environment=procs.environment(pid))
        for one in _ranks((pid, *_descendants(pid))) or (mine,):
            found[one.pid] = one
    return tuple(sorted(found.values(), key=_order))


def job() -> tuple[Found, ...]:
    """The ranks of this user's job here: those of this session where it has some, else all.

    Raises InputError where there is none, UsageError where several sessions have ranks of the same numbers."""
    me = os.geteuid()
    found = _ranks(pid for pid in procs.pids() if procs.owner(pid) == me)
    if not found:
        raise InputError(
            "--job: no process of this user here was started with RANK and WORLD_SIZE: name its processes with --pid"
        )
    jobs: dict[int, list[Found]] = {}
    for one in found:
        jobs.setdefault(procs.session(one.pid), []).append(one)
    own = jobs.get(os.getsid(0))
    if own:
        return tuple(sorted(own, key=_order))
    if len(_claims(found)) < len(found) and len(jobs) > 1:
        several = "; ".join(" ".join(str(f.pid) for f in sorted(ranks, key=_order)[:8]) for ranks in jobs.values())
        raise UsageError(f"--job: {len(jobs)} jobs run here; choose one: --pid with {several}")
    return tuple(sorted(found, key=_order))


def _ranks(pids: Iterable[int]) -> tuple[Found, ...]:
    """Of some processes the ranks, one per line of processes with the same rank."""
    own = {os.getpid(), os.getppid()}
    candidates = {}
    for pid in pids:
        if pid not in own:
            one = Found(pid=pid, environment=procs.environment(pid))
            if _is_rank(one):
                candidates[pid] = one
    lines: dict[int, list[Found]] = {}
    for pid, one in candidates.items():
        top, above = pid, procs.parent(pid)
        while above in candidates and _same(candidates[above], one):
            top, above = above, procs.parent(above)
        lines.setdefault(top, []).append(one)
    return tuple(_meant(line) for line in lines.values())


def _meant(line: list[Found]) -> Found:
    """Of a rank's processes, parents first, the one that runs the program."""
    ordered = sorted(line, key=lambda one: len(_ancestors(one.pid)))
    with_torch = (one for one in ordered if procs.maps(one.pid, "libtorch"))
    python = (one for one in ordered if "python" in "".join(procs.command(one.pid)[:1]))
    return next(with_torch, None) or next(python, None) or ordered[0]


def _ancestors(pid: int) -> list[int]:
    found: list[int] = []
    above = procs.parent(pid)
    while above > 1 and above not in found:
        found.append(above)
        above = procs.parent(above)
    return found


def _descendants(pid: int) -> list[int]:
    return [other for other in procs.pids() if pid in _ancestors(other)]


def _is_rank(one: Found) -> bool:
    return one.environment is not None and RANK in one.environment and SIZE in one.environment


def _same(one: Found, other: Found) -> bool:
    return (one.environment or {}).get(RANK) == (other.environment or {}).get(RANK)


def _claims(found: tuple[Found, ...] | list[Found]) -> set[str]:
    return {(one.environment or {}).get(RANK, "") for one in found}


def _order(one: Found) -> tuple[int, int]:
    text = (one.environment or {}).get(RANK, "")
    return (int(text) if text.isdecimal() and len(text) < 8 else 1 << 30, one.pid)
