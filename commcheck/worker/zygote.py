"""The process that imports torch once and from which ranks are forked.

It must stay safe to fork: one thread, no CUDA context, no process group, no store. Before every fork it looks, and
refuses otherwise, so that the launcher starts that rank in a fresh interpreter. It ends when the launcher does:
the kernel kills it with its parent, and a closed socket ends it too; its ranks die with it."""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

from commcheck.model import wire
from commcheck.system.process import die_with_parent
from commcheck.worker import rank


def main(fd: int, parent: int, workload: str, where: str = "") -> None:
    """Serve assignments that arrive on the datagram socket `fd` until it is closed. What `workload` imports is imported
    here, once for all ranks; one that has a program of its own serves inside of it (see commcheck.worker.workloads)."""
    die_with_parent(parent)
    begin = time.monotonic()
    connection = socket.socket(fileno=fd)

    def serve() -> None:
        import torch

        _share_pages()
        ready = wire.Ready(
            seconds=time.monotonic() - begin, torch=str(torch.__version__), threads=_threads(), unsafe=_unsafe()
        )
        connection.send(wire.encode(ready))
        _serve(connection)

    what = "torch cannot be imported"
    try:
        _warm_up()
        what = f"the program of the workload {workload} cannot be started"
        host = _host(workload)
        if host is not None:
            host(serve, where)
    except Exception as e:  # whatever it is, it is the answer: nothing can go on
        connection.send(wire.encode(wire.Broken(what=what, why=f"{type(e).__name__}: {e}")))
        return
    if host is None:
        serve()


def _host(workload: str) -> Callable[[Callable[[], None], str], None] | None:
    """The workload's own program, if it has one."""
    try:
        module = importlib.import_module(f"commcheck.worker.workloads.{workload}")
    except ModuleNotFoundError:  # the rank that is to run it says so itself
        return None
    return getattr(module, "host", None)


def _share_pages() -> None:
    """Keep the collector from touching, and so copying, the pages that ranks share with this process."""
    import gc

    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Import what every rank needs (the codec of host names too, which Python loads at the first look-up)."""
    import encodings.idna

    import torch.distributed

    import commcheck.worker.faults
    import commcheck.worker.phases.collectives
    import commcheck.worker.phases.group
    import commcheck.worker.phases.probe
    import commcheck.worker.phases.resolve
    import commcheck.worker.phases.store
    import commcheck.worker.workloads.bare
    import commcheck.worker.workloads.standard

    _ = (torch.distributed, commcheck, encodings.idna)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _unsafe() -> str:
    """Why this process must not be forked from now; empty when it may."""
    import torch

    if _threads() != 1:
        return f"{_threads()} threads are alive after the import of torch"
    # Not is_available(): it starts the CUDA runtime here, and no forked rank could use CUDA after that.
    if torch.cuda.is_initialized():
        return "a CUDA context is alive"
    if torch.distributed.is_initialized():
        return "a process group is alive"
    return ""


def _serve(connection: socket.socket) -> None:
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to handle
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([connection.fileno(), wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            _reap(connection, children)
        if connection.fileno() in ready:
            data, fds, _, _ = socket.recv_fds(connection, 64, 8)
            if not data:
                break
            if data.startswith(b"signal "):
                _signal(data, children)
                continue
            pid = _fork(connection, fds, (wake_read, wake_write))
            for fd in fds:
                os.close(fd)
            if pid is not None:
                children.add(pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _reap(connection: socket.socket, children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        children.discard(pid)
        connection.send(wire.encode(wire.Reaped(pid=pid, status=status)))


def _signal(data: bytes, children: set[int]) -> None:
    """`signal PID NUMBER`: only to a child that has not been reaped, so that a reused pid is never hit."""
    _, pid, number = data.split()
    if int(pid) in children:
        os.kill(int(pid), int(number))


def _fork(connection: socket.socket, fds: list[int], own: tuple[int, int]) -> int | None:
    """Fork one rank; `fds` are the assignment's file and the rank's four descriptors."""
    with open(fds[0], "rb", closefd=False) as file:
        file.seek(0)
        assignment = wire.assignment(file.read())
    slot = assignment.rank.slot
    why = _unsafe()
    if why:
        connection.send(wire.encode(wire.Refused(slot=slot, why=why)))
        return None
    me = os.getpid()
    pid = os.fork()
    if pid:
        connection.send(wire.encode(wire.Forked(slot=slot, pid=pid)))
        return pid
    try:
        die_with_parent(me)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setpgid(0, 0)
        connection.close()
        for fd in (*own, fds[0]):
            os.close(fd)
        channels = tuple(fds[1:])
        rank.settle(assignment, channels)
        rank.run(assignment, channels)
    except BaseException as e:  # a rank that cannot become itself says so and ends; it must never return to the loop
        sys.stderr.write(f"commcheck: this rank could not be placed: {e}\n")
        sys.stderr.flush()
    finally:
        os._exit(rank.PLACING_FAILED)
