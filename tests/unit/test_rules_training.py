"""What the calls and the exceptions of a job of training show: positive cases, and near misses that are none."""

import pytest
from msgspec.structs import replace

from commcheck.diagnose.match import judge
from commcheck.model.case import (
    Case,
    Collective,
    Ended,
    Exit,
    LogLine,
    Origin,
    PhaseRecord,
    ProcessState,
    RankError,
    RankRecord,
    ValueCheck,
    World,
)
from commcheck.model.phase import PHASES, Phase, PhaseStatus
from commcheck.model.taxonomy import Symptom

IN_MODEL = "/site-packages/torch/nn/modules/module.py"
IN_COMMUNICATION = "/site-packages/torch/distributed/distributed_c10d.py"


def step(index, seconds=0.01, *, done=True, op="training_step", group=""):
    return Collective(
        index=index,
        op=op,
        shape=(9,),
        dtype="float32",
        reduce_op="sum",
        group=group,
        phase=Phase.STEADY,
        done=done,
        seconds=seconds if done else None,
        expected="training_step(9 x float32, sum)" if op == "training_step" else "",
    )


def rank(number, calls=(), *, phase=Phase.STEADY, error=None, frame="", finished=False, state="S", waiting=""):
    upto = PHASES[: PHASES.index(Phase.TEARDOWN if finished else phase) + 1]
    last = PhaseStatus.OK if finished else PhaseStatus.FAILED if error else PhaseStatus.RUNNING
    records = tuple(
        PhaseRecord(phase=p, status=last if p is upto[-1] else PhaseStatus.OK, begin=0.0, seconds=2.0) for p in upto
    )
    lines = (f'  File "{frame}", line 1, in f',) if frame else ()
    return RankRecord(
        slot=number,
        rank=number,
        world_size=2,
        host="here",
        pid=100 + number,
        started="warm",
        phases=records,
        collectives=tuple(calls),
        error=None if error is None else RankError(phase=phase, kind=error[0], message=error[1]),
        exit=Exit(code=1) if error else Exit(code=0) if finished else None,
        process=ProcessState(state=state, waiting_in=waiting),
        output=tuple(LogLine(source="stderr", number=n, text=t) for n, t in enumerate(lines, 1)),
    )


def world(*ranks, ended=Ended.STALLED, timeout=1800.0):
    ranks = tuple(replace(r, world_size=len(ranks)) for r in ranks)
    asked = World(size=len(ranks), backend="gloo", store_seconds=timeout)
    return Case(origin=Origin.WORLD, world=asked, ranks=ranks, ended=ended, seconds=3.0)


def lead(case):
    found = judge(case).diagnoses
    return (found[0].cause, found[0].ranks, found[0].symptom) if found else None


# --- uneven inputs ------------------------------------------------------------------------------------------------


def uneven():
    more = [*(step(i) for i in range(5)), step(5, done=False)]
    fewer = [*(step(i) for i in range(5)), step(5, op="all_gather", done=False)]
    return rank(0, more), rank(1, fewer)


def test_the_rank_with_fewer_batches_is_named():
    assert lead(world(*uneven())) == ("uneven-inputs", (1,), Symptom.PERF_HANG)


def test_a_world_that_came_to_its_end_had_even_inputs_enough():
    ranks = [rank(r.rank, [replace(c, done=True) for c in r.collectives], finished=True) for r in uneven()]
    assert all(d.cause != "uneven-inputs" for d in judge(world(*ranks, ended=Ended.FINISHED)).diagnoses)


# --- stragglers ---------------------------------------------------------------------------------------------------


def paced(waits, *others):
    ranks = [
        rank(n, [step(i, w) for i, w in enumerate(times)], finished=True) for n, times in enumerate((waits, *others))
    ]
    return world(*ranks, ended=Ended.FINISHED)


def test_the_rank_for_which_all_wait_in_every_step_is_named():
    assert lead(paced([0.3] * 6, [0.01] * 6, [0.31] * 6)) == ("rank-straggling", (1,), Symptom.PERF_LOW_EFFICIENCY)


@pytest.mark.parametrize(
    "times",
    [
        ([0.01] * 6, [0.01] * 6),  # nobody waits
        ([0.3, 0.01, 0.3, 0.01, 0.3, 0.01], [0.01, 0.3, 0.01, 0.3, 0.01, 0.3]),  # now for this one, now for that one
        ([1.5, 0.01, 0.01, 0.01, 0.01], [0.01] * 5),  # the first step loads something
        ([0.3] * 3, [0.01] * 3),  # too few steps to speak of a habit
        ([0.5] * 6, [0.5] * 6),  # all are slow alike: the link, or the machine
    ],
)
def test_no_straggler(times):
    assert lead(paced(*times)) is None


# --- groups -------------------------------------------------------------------------------------------------------


def test_a_group_of_other_ranks_is_named_by_the_minority():
    calls = [[step(0, op="new_group", group=g, done=False)] for g in ("0,1", "1,2", "0,1")]
    ranks = [rank(n, c, phase=Phase.FIRST_COLLECTIVE) for n, c in enumerate(calls)]
    assert lead(world(*ranks))[:2] == ("collective-group-mismatch", (1,))


def test_the_same_group_everywhere_is_no_mismatch():
    ranks = [rank(n, [step(0, op="new_group", group="0,1", done=False)]) for n in range(2)]
    assert all(d.cause != "collective-group-mismatch" for d in judge(world(*ranks)).diagnoses)


# --- short time-outs, and ranks that sleep ------------------------------------------------------------------------

GAVE_UP = ("RuntimeError", "[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 1000ms for recv operation")


def late(**how):
    return rank(0, [step(0), step(1, done=False)], error=GAVE_UP), rank(1, [step(0)], **how)


def test_a_short_time_out_is_blamed_where_the_other_rank_computes():
    found = judge(world(*late(state="R"), ended=Ended.FAILED, timeout=1.0)).diagnoses[0]
    assert (found.cause, found.ranks, found.confidence) == ("timeout-too-short", (1,), 0.85)
    assert found.fixes[0].args == {"timeout": "1800"}


def test_a_long_time_out_is_not():
    found = judge(world(*late(state="R"), ended=Ended.FAILED, timeout=1800.0)).diagnoses
    assert found[0].cause == "collective-missing-rank"


def test_a_stopped_rank_is_no_matter_of_time():
    found = judge(world(*late(state="T"), ended=Ended.FAILED, timeout=1.0)).diagnoses
    assert all(d.cause != "timeout-too-short" for d in found)


def test_a_rank_that_sleeps_for_a_set_time_is_waited_for():
    waiting = rank(0, [step(0), step(1, done=False)])
    asleep = rank(1, [step(0)], waiting="hrtimer_nanosleep")
    awake = rank(1, [step(0)], waiting="pipe_read")
    assert (
        judge(world(waiting, asleep)).diagnoses[0].confidence
        < 0.75
        <= judge(world(waiting, awake)).diagnoses[0].confidence
    )


# --- exceptions ---------------------------------------------------------------------------------------------------

PEER = ("RuntimeError", "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:5")


def failed(kind, message, phase=Phase.STEADY, frame=IN_MODEL):
    return world(
        rank(0, error=PEER, frame=IN_COMMUNICATION, phase=phase),
        rank(1, error=(kind, message), frame=frame, phase=phase),
        ended=Ended.FAILED,
    )


@pytest.mark.parametrize(
    ("kind", "message", "phase", "cause", "symptom"),
    [
        ("AttributeError", "no attribute 'predict'", Phase.STEADY, "script-error", Symptom.TRAIN_ATTRIBUTE_NOT_FOUND),
        ("StopIteration", "", Phase.FIRST_COLLECTIVE, "script-error", Symptom.PREP_ITERATION_FAILURE),
        ("FileNotFoundError", "[Errno 2] No such file or directory: '/x'", Phase.STEADY, "script-error", Symptom.TRAIN_PATH_ERROR),
        ("RuntimeError", "Parent directory /x does not exist.", Phase.STEADY, "script-error", Symptom.TRAIN_PATH_ERROR),
        ("RuntimeError", "Error(s) in loading state_dict for Model:", Phase.STEADY, "script-error", Symptom.TRAIN_CHECKPOINT_UNFUNCTIONING),
        ("RuntimeError", "Error(s) in loading state_dict for Model:", Phase.FIRST_COLLECTIVE, "script-error", Symptom.PREP_MODEL_LOADING_FAILURE),
        ("AssertionError", "Torch not compiled with CUDA enabled", Phase.STEADY, "device-missing", Symptom.TRAIN_DEVICE_ERROR),
        ("AssertionError", "Torch not compiled with CUDA enabled", Phase.FIRST_COLLECTIVE, "device-missing", Symptom.PREP_DEVICE_ERROR),
        ("ModuleNotFoundError", "No module named 'apex'", Phase.RESOLVE, "library-missing", Symptom.BUILD_IMPORT_ERROR),
        ("OSError", "[Errno 28] No space left on device", Phase.STEADY, "disk-full", Symptom.TRAIN_OTHER_FAILURE),
        ("RuntimeError", "Resource temporarily unavailable", Phase.GROUP, "process-limit", Symptom.SETUP_FAILURE),
    ],
)  # fmt: skip
def test_the_exception_of_a_rank_names_cause_and_symptom(kind, message, phase, cause, symptom):
    assert lead(failed(kind, message, phase)) == (cause, (1,), symptom)


def test_no_room_for_a_semaphore_is_shared_memory_and_no_disk():
    case = failed("OSError", "[Errno 28] No space left on device", frame="/lib/multiprocessing/synchronize.py")
    assert lead(case) == ("shm-too-small", (1,), Symptom.TRAIN_MEMORY_ISSUE)


def test_what_is_raised_in_communication_is_not_called_the_programs_fault():
    case = failed("RuntimeError", "something of gloo", frame=IN_COMMUNICATION)
    assert all(d.cause != "script-error" for d in judge(case).diagnoses)


def test_a_peers_view_is_never_the_cause():
    case = failed(*PEER)
    assert all(d.confidence < 0.5 for d in judge(case).diagnoses)


def test_who_is_alone_at_the_end_made_noise_only():
    alone = rank(1, phase=Phase.TEARDOWN, error=PEER, frame=IN_COMMUNICATION)
    case = world(rank(0, finished=True), alone, ended=Ended.FAILED)
    assert lead(case) == ("teardown-noise", (1,), Symptom.PERF_OTHER)


def test_weights_that_are_no_numbers_are_non_convergence():
    spoilt = ValueCheck(op="loss", dtype="float32", size=1, ok=False, wrong_slots=(1,), detail="nan")
    ranks = [rank(0, [step(0)], finished=True), replace(rank(1, [step(0)], finished=True), checks=(spoilt,))]
    assert lead(world(*ranks, ended=Ended.FINISHED)) == ("wrong-values", (1,), Symptom.PERF_NON_CONVERGENCE)
