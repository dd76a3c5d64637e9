"""Faults that a rank's own program makes, seen from outside."""

import os
import time
from pathlib import Path

import pytest
from ports import free_port

from commcheck.api import observe
from commcheck.model.case import Ended
from commcheck.model.phase import Phase
from commcheck.model.plan import FaultAt
from commcheck.planner import local_plan
from commcheck.runtime.watch import Terms
from commcheck.system.process import state


def plan(*faults, **more):
    """Two ranks, the second of which has these faults."""
    base = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}
    return local_plan(size=2, base=base, master_addr="127.0.0.1", master_port=free_port(), faults={1: faults}, **more)


def run(launcher, planned):
    return observe(planned, launcher, (), Terms(), lambda _: None)


def test_a_slow_rank_holds_every_collective_of_its_phase_up(launcher):
    case = run(launcher, plan(FaultAt(name="slow", phase="verify", argument="40")))
    assert case.ended is Ended.FINISHED
    for rank in case.ranks:
        verify = next(p for p in rank.phases if p.phase is Phase.VERIFY)
        calls = [c for c in rank.collectives if c.phase is Phase.VERIFY]
        assert len(calls) > 1
        assert verify.seconds >= 0.04 * len(calls)


@pytest.mark.parametrize(("left", "ended"), [("0", False), ("60", True)])
def test_a_rank_that_leaks_descriptors_comes_as_far_as_the_rest_lets_it(launcher, left, ended):
    fault = FaultAt(name="fd-leak", phase="store", argument=left)
    case = run(launcher, plan(fault, limits={1: {"nofile": (256, 256)}}))
    assert (case.ended is Ended.FINISHED) is ended
    if not ended:
        assert any("Too many open files" in line.text for line in case.ranks[1].output)


def test_a_throttled_rank_is_stopped_and_continued_and_leaves_nothing(launcher):
    faults = (FaultAt(name="throttle", phase="resolve"), FaultAt(name="late", phase="resolve", argument="60"))
    with launcher.start(plan(*faults)) as world:
        target, seen = world.ranks[1], []
        deadline = time.monotonic() + 60
        while seen[:1] + seen[-1:] not in (["T", "S"], ["T", "R"]):
            assert time.monotonic() < deadline
            world.pump(time.monotonic() + 0.005)
            now = state(target.pid) if target.pid is not None else None
            if now is not None and (seen or now.state == "T"):
                seen.append(now.state)
        children = Path(f"/proc/{target.pid}/task/{target.pid}/children").read_text().split()
        assert children
    while any(Path("/proc", child).exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.01)
