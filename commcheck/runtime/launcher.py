"""Start the ranks of a world: forked from a process that has imported torch, or in fresh interpreters.

Nothing outlives the launcher. The forking process dies with it (also on kill -9), ranks die with the forking process,
and all that they share with it are pipes and an unnamed socket."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from msgspec.structs import replace

from commcheck.errors import LaunchError
from commcheck.model import wire
from commcheck.model.plan import Plan, RankPlan
from commcheck.planner import why_cold
from commcheck.runtime.world import RunningRank, RunningWorld
from commcheck.system.process import oom_kills, read_oom_kills

IMPORT_DEADLINE = 180.0
"""Seconds for the import of torch: about 1 on a laptop, tens from a cold network file system."""

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from commcheck.worker.__main__ import main; main(sys.argv[1:])"
)
_SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy's OpenBLAS starts threads when it is imported, and forking a process with threads is unsafe."""


class Launcher:
    """Starts worlds from one process that imports torch once. A context manager.

    `environment`: what the forking process is started with; ranks that need another value of a variable that torch
    or the C library reads at start get a fresh interpreter. `python`: the interpreter that has the job's torch.
    `workload`: the one whose imports all ranks share; ranks with another one import what it needs themselves.
    `where`: what a workload with a program of its own is told when that starts."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        python: str | None = None,
        workload: str = "standard",
        where: str = "",
    ) -> None:
        self.environment = dict(os.environ if environment is None else environment)
        self.python = python or sys.executable
        self.workload = workload
        self.where = where
        self.ready: wire.Ready | None = None
        self.import_seconds = 0.0
        self._zygote: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._oom_before: dict[str, int] = {}

    def __enter__(self) -> Launcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the forking process and with it every rank that is left."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
            self._zygote = None
        self.ready = None

    def begin(self) -> None:
        """Start importing torch, without waiting for it."""
        if self._zygote is not None:
            return
        self._oom_before = oom_kills(os.getpid())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._zygote = subprocess.Popen(
                [
                    *(self.python, "-P", "-c", _BOOT, _PACKAGE_ROOT),
                    *("zygote", str(theirs.fileno()), str(os.getpid()), self.workload, self.where),
                ],
                env=self.environment | _SINGLE_THREADED,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        self._socket = ours
        self._begun = time.monotonic()

    def warm(self) -> wire.Ready:
        """Wait until torch is imported. Raises LaunchError that says what to do when it cannot be."""
        self.begin()
        if self.ready is not None:
            return self.ready
        assert self._socket is not None
        self._socket.settimeout(IMPORT_DEADLINE)
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError as e:
            raise LaunchError(
                f"the import of torch has not ended after {IMPORT_DEADLINE:g} s; is its file system slow?"
            ) from e
        if not data:
            raise LaunchError(self._how_it_ended())
        answer = wire.message(data)
        if isinstance(answer, wire.Broken):
            advice = (
                ": pip install torch, or run commcheck with the job's own interpreter" if "torch" in answer.what else ""
            )
            raise LaunchError(f"{answer.what} by {self.python} ({answer.why}){advice}")
        assert isinstance(answer, wire.Ready)
        self.ready = answer
        self.import_seconds = time.monotonic() - self._begun
        self._socket.settimeout(None)
        return answer

    def _how_it_ended(self) -> str:
        """In words, where torch was not imported to the end."""
        assert self._zygote is not None
        code = self._zygote.wait()
        struck = any((read_oom_kills(file) or 0) > count for file, count in self._oom_before.items())
        if struck and code == -signal.SIGKILL:  # others of its control group may have been killed, too
            return (
                f"{self.python} was killed while it imported torch, by the kernel's out-of-memory killer (OOMKilled): raise the "
                "memory limit of this container or job"
            )
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{self.python} {how} while it imported torch; try: {self.python} -c 'import torch'"

    def start(self, plan: Plan) -> RunningWorld:
        """Start all ranks of `plan`, rank by rank in slot order. Raises LaunchError."""
        _make_room_for(len(plan.ranks))
        cold = {
            r.slot: "an interpreter of its own" if r.python else why_cold(r.environment, self.environment)
            for r in plan.ranks
        }
        if any(not why for why in cold.values()):
            unsafe = self.warm().unsafe
            cold = {slot: why or (f"not safe to fork: {unsafe}" if unsafe else "") for slot, why in cold.items()}
        world = RunningWorld(plan, self._socket)
        try:
            for rank in plan.ranks:
                if any(f.name == "absent" for f in rank.faults):
                    world.add(RunningRank.not_started(rank))
                elif cold[rank.slot]:
                    world.add(self._start_cold(rank, plan, cold[rank.slot]))
                else:
                    world.add(self._start_warm(rank, plan))
        except BaseException:
            world.close()
            raise
        return world

    def _start_warm(self, rank: RankPlan, plan: Plan) -> RunningRank:
        assert self._socket is not None
        running, theirs = RunningRank.with_pipes(rank, "warm", "forked from a process that had imported torch")
        file = _assignment_file(rank, plan)
        try:
            socket.send_fds(self._socket, [b"fork"], [file, *theirs])
        except OSError as e:
            raise LaunchError(f"the process that ranks are forked from is gone: {e.strerror}") from e
        finally:
            for fd in (file, *theirs):
                os.close(fd)
        return running

    def _start_cold(self, rank: RankPlan, plan: Plan, why: str) -> RunningRank:
        running, theirs = RunningRank.with_pipes(rank, "cold", why)
        file = _assignment_file(rank, plan)
        numbers = [str(fd) for fd in (file, *theirs)]
        python = rank.python or self.python
        try:
            process = subprocess.Popen(
                [python, "-P", "-c", _BOOT, _PACKAGE_ROOT, "cold", *numbers, str(os.getpid())],
                env=rank.environment,
                pass_fds=(file, *theirs),
                stdin=subprocess.DEVNULL,
                stdout=theirs[0],
                stderr=theirs[1],
            )
        except OSError as e:
            raise LaunchError(f"cannot start {python}: {e.strerror}") from e
        finally:
            for fd in (file, *theirs):
                os.close(fd)
        running.own(process)
        return running


def _assignment_file(rank: RankPlan, plan: Plan) -> int:
    """An unnamed file in memory: no size limit as a datagram has, and nothing left behind."""
    if resource_changed():
        soft, hard = _ORIGINAL_NOFILE
        limits = {"nofile": (soft, hard), **rank.limits}
        rank = replace(rank, limits=limits)
    fd = os.memfd_create("commcheck-assignment", os.MFD_CLOEXEC)
    data = wire.encode(wire.Assignment(rank=rank, workload=plan.workload, given=plan.given))
    while data:
        data = data[os.write(fd, data) :]
    return fd


_ORIGINAL_NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)


def resource_changed() -> bool:
    """Whether this process has raised its own limit of open files, which ranks must not inherit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE) != _ORIGINAL_NOFILE


def _make_room_for(ranks: int) -> None:
    """Four pipes a rank: raise our own soft limit of open files where that is needed. Raises LaunchError."""
    needed = 4 * ranks + 128
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise LaunchError(
                f"{ranks} ranks need {needed} open files, and this process may have {hard}: raise ulimit -Hn"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
