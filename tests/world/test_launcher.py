"""The launcher: what a rank gets is what the plan says, worlds do not share fate, and nothing is left."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ports import free_port

from commcheck.api import observe
from commcheck.diagnose.match import decided, judge, proven
from commcheck.errors import LaunchError, UsageError
from commcheck.model.case import Ended
from commcheck.model.diagnosis import Verdict
from commcheck.model.phase import PHASES, Phase, PhaseStatus
from commcheck.model.plan import FaultAt, Place
from commcheck.planner import local_plan, why_cold
from commcheck.report.to_text import render
from commcheck.runtime.launcher import Launcher
from commcheck.runtime.watch import Terms

IMPATIENT = {"RES_OPTIONS": "timeout:1 attempts:1"}
"""torch asks for the name of every address it connects to, of 127.0.0.1 in its IPv6 form too, which no hosts file has:
a nameserver that loses such a question would cost 5 s, and these tests are not about that."""


def plan(size=2, **more):
    given = {"base": {**os.environ, **IMPATIENT}, "master_addr": "127.0.0.1", "master_port": free_port()} | more
    return local_plan(size=size, **given)


def run(launcher, planned, **terms):
    return observe(planned, launcher, (), Terms(**terms), lambda _: None)


def test_a_world_comes_through_all_phases_with_right_values(launcher):
    case = run(launcher, plan(3))
    assert case.ended is Ended.FINISHED
    assert proven(case)
    for rank in case.ranks:
        assert [p.phase for p in rank.phases] == list(PHASES)
        assert all(p.status is PhaseStatus.OK for p in rank.phases)
        assert rank.exit is not None
        assert rank.exit.code == 0
        ops = {c.op for c in rank.checks}
        assert {"all_reduce", "broadcast", "all_gather", "reduce_scatter", "all_to_all", "send_recv"} <= ops
        assert len({c.dtype for c in rank.checks}) >= 4
        assert {p.peer_rank for p in rank.pairs} == set(range(3)) - {rank.rank}
    assert {pid for _, pid in case.ranks[0].members} == {r.pid for r in case.ranks}


def test_phase_times_are_monotonic_and_of_one_clock(launcher):
    case = run(launcher, plan())
    for rank in case.ranks:
        begins = [p.begin for p in rank.phases]
        assert begins == sorted(begins)
        assert begins[0] >= 0
        assert rank.phases[-1].begin + rank.phases[-1].seconds <= case.seconds


def test_a_small_world_is_forked_in_tens_of_milliseconds(launcher, cores):
    run(launcher, plan(workload="bare"))
    with cores():
        seconds = sorted(run(launcher, plan(workload="bare")).seconds for _ in range(7))
    assert seconds[0] < 0.5  # seen: 0.06 on an idle machine; a torchrun takes seconds
    assert launcher.ready.threads == 1


def test_a_rank_gets_exactly_the_environment_of_the_plan(launcher):
    """What a forked rank's own children inherit is what the C library has: nothing of ours, everything of the plan."""
    fault = FaultAt(name="shell", phase="resolve", argument="/usr/bin/env")
    planned = plan(
        base={**launcher.environment, "ONLY": "this"}, unset=("HOME",), faults={1: (fault,)}, workload="bare"
    )
    case = run(launcher, planned)
    assert case.ranks[1].started == "warm"
    seen = dict(
        line.text.split("=", 1) for line in case.ranks[1].output if line.source == "stdout" and "=" in line.text
    )
    asked = {k: v for k, v in planned.ranks[1].environment.items() if "\n" not in v}
    assert {k: v for k, v in seen.items() if k not in ("PWD", "_", "SHLVL", "OLDPWD")} == {
        k: v for k, v in asked.items() if k not in ("PWD", "_", "SHLVL", "OLDPWD")
    }
    assert seen["ONLY"] == "this"
    assert "HOME" not in seen


@pytest.mark.parametrize("early", [False, True], ids=["forked", "fresh interpreter"])
def test_what_the_rank_sees_of_environment_and_limits(launcher, early):
    """A rank that stops itself is looked at from outside: /proc shows limits, and its own words the variables."""
    more = {"MALLOC_ARENA_MAX": "1"} if early else {}
    planned = plan(
        rank_env={1: {"COMMCHECK_TEST": "here", **more}},
        limits={1: {"nofile": (64, 64)}},
        faults={1: (FaultAt(name="stop", phase="resolve"),)},
    )
    with launcher.start(planned) as world:
        target = world.ranks[1]
        deadline = time.monotonic() + 60
        # Its first words may be read before the message that tells its pid.
        while target.pid is None or not target.events or state(target.pid) != "T":
            assert time.monotonic() < deadline
            world.pump(time.monotonic() + 0.05)
        limits = read(f"/proc/{target.pid}/limits")
        assert target.started == ("cold" if early else "warm")
        assert ("MALLOC_ARENA_MAX" in target.why) == early
        if early:  # what a fresh interpreter was started with is what the kernel shows
            assert b"COMMCHECK_TEST=here" in read(f"/proc/{target.pid}/environ").encode()
    line = next(x for x in limits.splitlines() if x.startswith("Max open files"))
    assert line.split()[3:5] == ["64", "64"]


def state(pid):
    return read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0]


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


def test_a_variable_that_torch_reads_at_its_import_takes_effect_all_the_same(launcher):
    quiet = run(launcher, plan())
    loud = run(launcher, plan(rank_env={1: {"TORCH_CPP_LOG_LEVEL": "INFO"}}))
    assert [r.started for r in quiet.ranks] == ["warm", "warm"]
    assert [r.started for r in loud.ranks] == ["warm", "cold"]
    assert "TORCH_CPP_LOG_LEVEL" in loud.ranks[1].started_why
    assert not any("[I" in line.text for line in loud.ranks[0].output)
    assert any("[I" in line.text for line in loud.ranks[1].output)
    assert proven(loud)


def test_why_cold_names_only_what_is_read_early():
    base = {"PATH": "/bin", "TORCH_CPP_LOG_LEVEL": "INFO"}
    assert why_cold({**base, "GLOO_SOCKET_IFNAME": "lo", "RANK": "1"}, base) == ""
    assert "TORCH_CPP_LOG_LEVEL" in why_cold({"PATH": "/bin"}, base)
    assert "LD_PRELOAD" in why_cold({**base, "LD_PRELOAD": "x.so"}, base)


def test_worlds_side_by_side_do_not_share_fate(cores):
    """One is killed in the middle, one hangs, one is well; each says its own."""
    faults = {"killed": "kill", "stopped": "stop", "well": ""}

    def one(name):
        fault = {1: (FaultAt(name=faults[name], phase="verify"),)} if faults[name] else {}
        with Launcher(os.environ) as own:
            case = run(own, plan(faults=fault))
        return name, judge(case)

    with cores(), ThreadPoolExecutor(3) as pool:
        said = dict(pool.map(one, faults))
    assert said["well"].verdict is Verdict.HEALTHY, render(said["well"])
    assert said["killed"].diagnoses[0].cause == "rank-killed"
    assert said["stopped"].diagnoses[0].cause == "rank-stopped"


def test_one_launcher_serves_worlds_that_run_at_the_same_time(launcher):
    first, second = plan(), plan(faults={1: (FaultAt(name="stop", phase="steady"),)})
    with launcher.start(second) as hanging:
        # The messages about forked ranks come over one socket: each world is started when the other's ranks are known.
        while not all(r.pid for r in hanging.ranks):
            hanging.pump(time.monotonic() + 1)
        assert proven(run(launcher, first))
        assert len(hanging.alive) == 2


def test_before_it_ends_anything_the_evidence_is_taken(launcher, cores):
    with cores():
        case = run(launcher, plan(faults={1: (FaultAt(name="stop", phase="steady"),)}))
    waiting, stopped = case.ranks
    assert case.ended is Ended.STALLED
    assert case.seconds < 3
    assert stopped.process.state in "Tt"
    assert waiting.process.state == "S"
    assert any("steady" in line or "collectives.py" in line for line in waiting.stack)
    assert any(s.state == "LISTEN" for s in waiting.sockets)
    assert waiting.last_phase.phase is Phase.STEADY
    assert waiting.exit.by_us
    assert stopped.exit.by_us


def test_a_slow_rank_is_waited_for(launcher):
    case = run(launcher, plan(faults={1: (FaultAt(name="late", phase="store", argument="2.5"),)}))
    assert proven(case)
    assert case.seconds > 2.5
    assert judge(case).verdict is Verdict.HEALTHY


@pytest.mark.whole  # scenarios/healthy/64-ranks is in CI
def test_sixty_four_ranks_are_healthy(launcher, cores):
    with cores(alone=True):
        case = run(launcher, plan(64))
    assert judge(case).verdict is Verdict.HEALTHY, render(judge(case))
    assert proven(case)


@pytest.mark.parametrize("address", ["::1", "localhost"])
def test_other_forms_of_the_address(launcher, address):
    assert proven(run(launcher, plan(master_addr=address)))


def test_a_world_of_one(launcher):
    assert proven(run(launcher, plan(1)))


def test_a_place_that_is_not_there_is_our_error_and_not_a_verdict(launcher):
    with pytest.raises(LaunchError, match="nosuchspace"):
        run(launcher, plan(places=(Place(host="x", netns="nosuchspace"),)))


def test_an_interpreter_without_torch_is_named(tmp_path):
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    with Launcher(os.environ, python=str(bare)) as broken, pytest.raises(LaunchError, match="import torch"):
        broken.warm()


@pytest.mark.parametrize("size", [0, -1, 1_000_000])
def test_sizes_that_cannot_be(size):
    with pytest.raises(UsageError, match="--world-size"):
        plan(size)


def test_nothing_is_left_after_many_worlds(launcher):
    launcher.warm()
    planned = [plan(faults={1: (FaultAt(name=f, phase="group"),)} if f else {}) for f in ("kill", "stop", "exit", "")]
    before = children(launcher), open_files()
    for each in planned:
        run(launcher, each)
    assert (children(launcher), open_files()) == before


def children(launcher):
    """The ranks that are left below the warm process."""
    warm = launcher._zygote.pid
    return read(f"/proc/{warm}/task/{warm}/children").split()


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_the_decision_is_made_by_the_evidence_and_not_by_time(launcher):
    """A late rank is no evidence; a stopped one is."""
    assert not decided(run(launcher, plan(faults={1: (FaultAt(name="late", phase="store", argument="0.2"),)})))
    assert decided(run(launcher, plan(faults={1: (FaultAt(name="stop", phase="store"),)})))
