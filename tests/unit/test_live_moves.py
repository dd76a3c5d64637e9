"""Whether a running job gets on, from outside: one measure for `diagnose --pid` and `commcheck run`."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.cli import run
from commcheck.diagnose.ingest.stacks import standing
from commcheck.model.case import Ended, ProcessState, Socket
from commcheck.model.phase import Phase
from commcheck.runtime import working
from commcheck.runtime.live.collect import case_of
from commcheck.runtime.live.find import Found
from commcheck.runtime.live.look import Look, Watched, watch
from commcheck.runtime.working import IDLE, IDLE_CPU, IDLE_FAULT_RATE, works

SPINS = "import sys; keep = open(sys.argv[1]); print(flush=True)\nwhile True: pass"
LOADS = (
    "import mmap, sys; keep = open(sys.argv[1]); print(flush=True)\n"
    "while True:\n    m = mmap.mmap(-1, 4 << 20)\n    for i in range(0, 4 << 20, 4096): m[i] = 1\n    m.close()"
)
WAKES = "import os, sys, time; keep = open(sys.argv[1]); e = os.eventfd(0); print(flush=True)\nwhile True: os.eventfd_write(e, 1); time.sleep(0.05)"  # fmt: skip
WRITES = "import sys, time; keep = open(sys.argv[1]); print(flush=True)\nwhile True: print('step 1 of 100', file=sys.stderr, flush=True); time.sleep(0.05)"  # fmt: skip


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a program that holds a file open which passes for a device."""
    device = tmp_path / "device"
    device.touch()
    monkeypatch.setattr(working, "DEVICE", str(device))
    monkeypatch.setattr("commcheck.runtime.live.look.DEVICE", str(device))
    monkeypatch.setattr("commcheck.runtime.live.pyspy.program", lambda: None)
    running = []

    def start(program):
        one = subprocess.Popen(
            [sys.executable, "-c", program, str(device)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        running.append(one)
        assert one.stdout.readline() == b"\n"
        return one

    yield start
    for one in running:
        one.kill()
        one.communicate()


@pytest.mark.parametrize(("program", "expected"), [(SPINS, False), (LOADS, True)], ids=["waits", "loads"])
def test_run_sees_that_who_asks_again_and_again_waits(started, program, expected):
    one = started(program)
    begin, before = time.monotonic(), run._used(one.pid)
    while (after := run._used(one.pid)).spinning < before.spinning + 0.5:
        os.sched_yield()
    # However busy this machine is: as if the processor had been its own.
    assert run._worked(before, after, min(time.monotonic() - begin, 0.6)) is expected
    assert (before.cpu, after.cpu) == (0, 0)


@pytest.mark.parametrize(
    ("program", "moves", "wrote"),
    [(SPINS, None, False), (LOADS, True, False), (WRITES, None, True), (WAKES, None, False)],
    ids=["waits", "loads", "writes", "wakes a thread"],
)
def test_a_look_sees_the_same(started, program, moves, wrote):
    one = started(program)
    said = []
    (seen,), _ = watch((Found(pid=one.pid, environment={}),), seconds=1.2, progress=said.append)
    assert (seen.moves, seen.wrote) == (moves, wrote)
    assert not any("nothing moves" in text for text in said)


def test_what_others_know_ends_the_watch(started):
    one = started(SPINS)
    begin = time.monotonic()
    watch((Found(pid=one.pid, environment={}),), seconds=60, moving=lambda: True)
    assert time.monotonic() - begin < 20


@given(st.floats(0, 1e4), st.integers(0, 1 << 30), st.floats(0, 1e4))
def test_who_spins_has_to_do_more_to_be_at_work(cpu, faults, seconds):
    if works(cpu, faults, seconds, spins=True):
        assert works(cpu, faults, seconds, spins=False)
    assert not works(min(cpu, IDLE_CPU, IDLE * seconds), faults, seconds, spins=False)
    assert not works(cpu, min(faults, int(IDLE_FAULT_RATE * seconds)), seconds, spins=True)


STILL = Look(at=0.0, state=ProcessState(state="S"), written=7)
WATCHED = Watched(
    found=Found(pid=1, environment={}), first=STILL, last=replace(STILL, at=5.0), limits=(), network=None, gpu=False, end=None,
)  # fmt: skip
IN_CALL = ("all_reduce (torch/distributed/distributed_c10d.py:3252)", "<module> (train.py:3)")


@pytest.mark.parametrize(
    ("stack", "gpu", "expected"),
    [((), False, False), ((), True, None), (IN_CALL, False, False), (IN_CALL, True, False), (IN_CALL[1:], True, None)],
)
def test_what_is_written_counts_where_nothing_better_is_to_be_had(stack, gpu, expected):
    one = replace(
        WATCHED,
        gpu=gpu,
        first=replace(STILL, stack=stack),
        last=replace(WATCHED.last, stack=stack, written=8),
    )
    assert one.wrote
    assert one.moves is expected
    assert case_of((one,)).ended is (Ended.RUNNING if expected is None else Ended.STALLED)


# --- where ranks are --------------------------------------------------------------------------------------------

P2P = (
    "_end_coalescing (torch/distributed/distributed_c10d.py:2700)",
    "_coalescing_manager (torch/distributed/distributed_c10d.py:2801)",
    "_GeneratorContextManager.__exit__ (contextlib.py:144)",
    "batch_isend_irecv (torch/distributed/distributed_c10d.py:2864)",
    "exchange (train.py:51)",
    "<module> (train.py:60)",
)


@pytest.mark.parametrize(
    ("frames", "op", "at"),
    [
        (P2P, "batch_isend_irecv", "exchange (train.py:51)"),
        (("isend (torch/distributed/distributed_c10d.py:2400)", "wrapper (torch/distributed/c10d_logger.py:83)", "<module> (job.py:5)"), "isend", "<module> (job.py:5)"),
        (("send (torch/distributed/distributed_c10d.py:2500)", "run (asyncio/runners.py:7)", "step (profile/a.py:5)"), "send", "step (profile/a.py:5)"),
        (("irecv (torch/distributed/distributed_c10d.py:2500)", "<module> (code.py:5)"), "irecv", "<module> (code.py:5)"),
    ],
)  # fmt: skip
def test_a_call_of_two_ranks_is_what_is_waited_in_and_its_caller_is_the_program(frames, op, at):
    where = standing(frames)
    assert (where.op, where.at, where.waits) == (op, at, True)


def row(local, remote):
    return Socket(family="ipv4", protocol="tcp", local_address="10.0.0.1", local_port=local, remote_address="10.0.0.2", remote_port=remote, state="ESTAB")  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "phase"),
    [
        ((), Phase.RESOLVE),
        ((row(40000, 443),), Phase.RESOLVE),  # it fetches something, and has not come to the store
        ((row(40001, 29500), row(40002, 41000)), Phase.STEADY),
    ],
    ids=["nothing", "a download", "the store and others"],
)
def test_a_rank_in_its_own_program_has_come_as_far_as_its_connections(rows, phase):
    environment = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.2", "MASTER_PORT": "29500"}
    stopped = Look(at=5.0, state=ProcessState(state="T"), stack=IN_CALL[1:], sockets=rows)
    one = replace(WATCHED, found=Found(pid=1, environment=environment), first=stopped, last=stopped, gpu=True)
    (rank,) = case_of((one,)).ranks
    assert rank.last_phase.phase is phase
