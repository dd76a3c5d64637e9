"""One rank, from the first instruction to the last: the phases in order, each begun, finished or failed in the journal."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from commcheck.model.phase import PHASES, Phase
from commcheck.model.wire import Assignment
from commcheck.system.place import enter
from commcheck.system.process import join_cgroups, set_limits
from commcheck.worker.journal import Journal

if TYPE_CHECKING:
    from commcheck.worker.context import RankContext

STDOUT, STDERR, JOURNAL, STACK = range(4)
"""Order of the file descriptors that come with an assignment."""
PLACING_FAILED = 97
"""Exit code of a rank that could not be placed, limited or given its environment: our failure, not the world's."""


def settle(assignment: Assignment, fds: tuple[int, ...]) -> None:
    """Make this process what the plan says: outputs, place, limits, exact environment. torch is not needed for it."""
    os.dup2(fds[STDOUT], 1)
    os.dup2(fds[STDERR], 2)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    faulthandler.register(signal.SIGUSR1, file=fds[STACK], all_threads=True, chain=False)
    plan = assignment.rank
    join_cgroups(plan.cgroups)
    enter(plan.place)
    os.environ.clear()
    os.environ.update(plan.environment)
    set_limits(plan.limits)


def run(assignment: Assignment, fds: tuple[int, ...]) -> NoReturn:
    """Run all phases, then end the process: 0 when all came through, 1 after an exception."""
    journal = Journal(fds[JOURNAL])
    phase = Phase.RESOLVE
    try:
        # What torch has to say about the age of the calls that we make is no word of the user's world.
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
        from commcheck.worker.context import RankContext
        from commcheck.worker.faults import load

        ctx = RankContext(assignment.rank, assignment.workload, journal, load(assignment.rank.faults), assignment.given)
        _claim(ctx)
        for phase in PHASES:
            ctx.phase = phase
            journal.began(phase)
            for fault in ctx.faults:
                fault.strike(phase)
            journal.finished(phase, _actions()[phase](ctx))
    except BaseException as e:  # whatever ends a rank is evidence, KeyboardInterrupt and SystemExit too
        journal.failed(phase, e)
        traceback.print_exc()
        _leave(1)
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End without the forking process's exit handlers, which are not this rank's."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _actions() -> dict[Phase, Callable[..., str]]:
    from commcheck.worker.phases import collectives, group, probe, resolve, store

    return {
        Phase.RESOLVE: resolve.run,
        Phase.STORE: store.run,
        Phase.PROBE: probe.run,
        Phase.GROUP: group.run,
        Phase.FIRST_COLLECTIVE: collectives.first,
        Phase.VERIFY: collectives.verify,
        Phase.STEADY: collectives.steady,
        Phase.TEARDOWN: collectives.teardown,
    }


def _claim(ctx: RankContext) -> None:
    import torch
    import torch.distributed as dist

    available = {
        "gloo": dist.is_gloo_available,
        "nccl": dist.is_nccl_available,
        "mpi": dist.is_mpi_available,
        "ucc": dist.is_ucc_available,
    }
    backends = tuple(name for name, ask in available.items() if ask())
    environment = ctx.plan.environment
    ctx.journal.claimed(
        _number(environment.get("RANK")),
        _number(environment.get("WORLD_SIZE")),
        {"torch": str(torch.__version__)},
        backends,
    )


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
