"""The workload that trains: its values are right, it takes little time, and nothing of it is left, also after kill -9."""

import os
import time
from pathlib import Path

import pytest

from commcheck.api import observe
from commcheck.diagnose.match import judge, proven
from commcheck.model.case import Ended
from commcheck.model.diagnosis import Verdict
from commcheck.model.phase import Phase
from commcheck.model.plan import FaultAt
from commcheck.planner import local_plan
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms
from commcheck.system.ports import held_port

BASE = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}


@pytest.fixture(scope="module")
def trainer():
    with Launcher(BASE, workload="training") as warm:
        warm.warm()
        yield warm


def run(trainer, size=2, arguments="", rank_arguments=None, **more):
    with held_port() as port:
        plan = local_plan(
            size=size,
            base=BASE,
            env={"JOB_ARGS": arguments},
            rank_env={r: {"JOB_ARGS": a} for r, a in (rank_arguments or {}).items()},
            master_addr="127.0.0.1",
            master_port=port,
            workload="training",
            **more,
        )
        return observe(plan, trainer, (), Terms(deadline=30.0), lambda _: None)


def left():
    """What a run could leave behind: files where temporary ones are made, and shared memory."""
    names = ("torch", "tmp", "pymp", "commcheck")
    return {p for place in ("/tmp", "/dev/shm") for p in Path(place).iterdir() if p.name.startswith(names)}


def in_group(pid):
    """The processes of the group that a rank leads: itself, and those that load its data."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pid and fields[0] != "Z":
            found.append(file.parent.name)
    return found


def test_ranks_train_and_agree(trainer):
    begin = time.monotonic()
    case = run(trainer)
    assert case.ended is Ended.FINISHED
    assert proven(case)
    for rank in case.ranks:
        checks = {c.op: c.ok for c in rank.checks}
        assert checks["loss"]
        assert checks["weights"]
        steps = [c for c in rank.collectives if c.op == "training_step"]
        assert len(steps) == 6
        assert all(c.done and c.seconds is not None and c.seconds >= 0 for c in steps)
    assert time.monotonic() - begin < 10  # a second on an idle machine


def test_the_number_of_steps_is_what_the_job_is_told(trainer):
    case = run(trainer, arguments="--batches 3")
    assert [sum(c.op == "training_step" for c in r.collectives) for r in case.ranks] == [3, 3]


def test_nothing_is_left_of_a_rank_that_is_killed_with_its_checkpoint(trainer):
    before = left()
    case = run(
        trainer,
        arguments="--workers 1",
        faults={0: (FaultAt(name="kill", phase=Phase.STEADY),)},
    )
    assert case.ended is Ended.FAILED
    assert left() <= before
    end = time.monotonic() + 2  # they are sent a signal; torch alone would let them look for 5 s
    while any(in_group(r.pid) for r in case.ranks) and time.monotonic() < end:
        time.sleep(0.02)
    assert [in_group(r.pid) for r in case.ranks] == [[], []]


def test_bad_arguments_are_an_error_of_the_rank(trainer):
    case = run(trainer, rank_arguments={1: "--no-such-option"})
    assert case.ranks[1].error is not None
    assert case.ranks[1].error.kind == "SystemExit"


def test_an_idle_layer_ends_all_ranks_and_is_healthy_where_it_is_looked_for(trainer):
    assert judge(run(trainer, arguments="--idle-layer")).diagnoses[0].cause == "unused-parameters"
    assert judge(run(trainer, arguments="--idle-layer --find-unused")).verdict is Verdict.HEALTHY
