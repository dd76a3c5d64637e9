"""Whether a world stands still, from two looks at its processes: with NCCL, waiting uses a processor too."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.runtime.evidence import Activity, moved
from commcheck.runtime.working import IDLE_CPU, IDLE_FAULTS
from commcheck.system import process

STILL = Activity(cpu=1.0, faults=1000, queued=0, connected=3, due=False, spins=False)
ACTIVITIES = st.builds(
    Activity,
    cpu=st.floats(0, 1e6),
    faults=st.integers(0, 1 << 40),
    queued=st.integers(0, 1 << 30),
    connected=st.integers(0, 1 << 16),
    due=st.just(False),
    spins=st.booleans(),
)


@given(st.dictionaries(st.integers(0, 9), ACTIVITIES))
def test_what_does_not_change_does_not_move(world) -> None:
    assert not moved(world, world)


@given(ACTIVITIES, st.integers(1, 1 << 20))
def test_bytes_and_connections_are_movement_however_one_waits(then, more) -> None:
    assert moved({0: then}, {0: then._replace(queued=then.queued + more)})
    assert moved({0: then}, {0: then._replace(connected=then.connected + more)})
    assert moved({0: then}, {0: then._replace(due=True)})
    assert moved({0: then}, {})
    assert moved({}, {0: then})


@pytest.mark.parametrize(
    ("spins", "cpu", "faults", "expected"),
    [
        (False, IDLE_CPU / 2, 10_000, False),
        (False, IDLE_CPU * 2, 0, True),  # gloo waits asleep: who computes, works
        (True, 0.2, 0, False),  # NCCL asks a socket or the GPU again and again
        (True, 0.2, IDLE_FAULTS, False),
        (True, 0.2, IDLE_FAULTS + 1, True),  # it loads kernels, or makes buffers
        (True, 0.0, 10_000, False),
    ],
)
def test_a_processor_in_use_is_work_where_waiting_does_not_use_it(spins, cpu, faults, expected) -> None:
    then = STILL._replace(spins=spins)
    assert moved({0: then}, {0: then._replace(cpu=then.cpu + cpu, faults=then.faults + faults)}) is expected


SPINS = "import sys; print(flush=True)\nwhile True: pass"
LOADS = "import mmap; print(flush=True)\nwhile True:\n    m = mmap.mmap(-1, 4 << 20)\n    for i in range(0, 4 << 20, 4096): m[i] = 1\n    m.close()"


@pytest.mark.parametrize(("program", "expected"), [(SPINS, False), (LOADS, True)])
def test_the_kernel_tells_one_that_asks_again_and_again_from_one_that_loads(program, expected) -> None:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout.readline() == b"\n"
            before = process.state(started.pid)
            used = before.cpu
            while process.state(started.pid).cpu < used + 0.2:
                os.sched_yield()
            after = process.state(started.pid)
        finally:
            started.kill()
    then, now = (
        Activity(cpu=s.cpu, faults=s.faults, queued=0, connected=0, due=False, spins=True) for s in (before, after)
    )
    assert moved({0: then}, {0: now}) is expected
    assert moved({0: then._replace(spins=False)}, {0: now._replace(spins=False)})
