import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose.ingest import flight_recorder, py_spy, stacks
from commcheck.diagnose.match import judge
from commcheck.diagnose.recorded import case_of
from commcheck.errors import InputError
from commcheck.model.case import Ended

WORLD = ("0", "default_pg")


def entry(
    seq, name="nccl:all_reduce", *, group=WORLD, sizes=((4,),), dtype="Float", state="completed", at=None, **more
):
    return {
        "collective_seq_id": seq, "p2p_seq_id": 0, "op_id": seq, "profiling_name": name, "process_group": group,
        "pg_id": 0, "record_id": 0, "input_sizes": [list(s) for s in sizes], "input_dtypes": [dtype],
        "output_sizes": [list(s) for s in sizes], "output_dtypes": [dtype], "state": state, "retired": False,
        "time_created_ns": int((at if at is not None else seq) * 1e9), "timeout_ms": 600000, "is_p2p": False, **more,
    }  # fmt: skip


def dump(rank, entries, groups=None, form="json"):
    config = {name: {"name": name, "desc": "", "ranks": str(list(ranks))} for name, ranks in (groups or {}).items()}
    value = {"version": "2.10", "pg_config": config, "pg_status": {}, "entries": entries, "nccl_comm_state": {}}
    data = json.dumps(value).encode() if form == "json" else pickle.dumps(value, 2)
    assert flight_recorder.is_dump(data)
    return flight_recorder.parse(f"/tmp/nccl_trace_rank_{rank}", data)


def lead(*dumps):
    case = case_of(tuple(dumps))
    found = judge(case).diagnoses
    return case, (found[0].cause, found[0].ranks) if found else None


FULL = {"0": range(4)}


def test_a_rank_that_has_not_come_to_the_call():
    ahead = [entry(1), entry(2), entry(3, state="started")]
    case, found = lead(*(dump(r, ahead if r != 2 else ahead[:2], FULL) for r in range(4)))
    assert found == ("collective-missing-rank", (2,))
    text = [e.text for e in judge(case).diagnoses[0].evidence]
    assert "waits in call 3" in text


@pytest.mark.parametrize(
    ("odd", "cause"),
    [
        ({"sizes": ((5,),)}, "collective-shape-mismatch"),
        ({"dtype": "Half"}, "collective-dtype-mismatch"),
        ({"name": "nccl:broadcast"}, "collective-order-mismatch"),
    ],
)
@pytest.mark.parametrize("form", ["json", "pickle"])
def test_calls_that_differ(odd, cause, form):
    rows = [[entry(1), entry(2, state="started", **(odd if r == 3 else {}))] for r in range(4)]
    case, found = lead(*(dump(r, rows[r], FULL, form) for r in range(4)))
    assert found == (cause, (3,))
    assert any("call 2" in e.text for e in judge(case).diagnoses[0].evidence)


def test_all_came_and_nobody_came_out():
    case, found = lead(*(dump(r, [entry(1), entry(2, state="started")], FULL) for r in range(4)))
    assert found is None
    assert case.ended is Ended.STALLED
    assert any("links and devices" in note for note in case.not_read)


@pytest.mark.parametrize(
    ("left", "is_in", "needed"),
    [((0,), "rank 0 is in call 2", "dumps of ranks 1-3"), ((0, 1, 3), "ranks 0, 1, 3 are in call 2", "dump of rank 2")],
)
def test_dumps_of_some_ranks_agree_with_nobody(left, is_in, needed):
    case, found = lead(*(dump(r, [entry(1), entry(2, state="started")], FULL) for r in left))
    assert found is None
    assert not any("agree" in note for note in case.not_read)
    assert any(is_in in note and needed in note for note in case.not_read)


def test_where_a_call_was_made_is_not_where_its_rank_is():
    frames = [
        {"name": "all_reduce", "filename": "/v/site-packages/torch/distributed/distributed_c10d.py", "line": 3174},
        {"name": "wrapper", "filename": "/v/site-packages/torch/distributed/c10d_logger.py", "line": 83},
        {"name": "step", "filename": "/home/me/train.py", "line": 53},
    ]
    rows = [entry(1, frames=frames), entry(2, state="started", frames=frames)]
    case, found = lead(*(dump(r, rows[: 1 if r == 3 else 2], FULL, "pickle") for r in range(4)))
    assert found == ("collective-missing-rank", (3,))
    text = " | ".join(e.text for e in judge(case).diagnoses[0].evidence)
    assert "in no collective" not in text
    assert "has made its newest call, all_reduce, at step (/home/me/train.py:53)" in text


def test_nothing_is_wrong():
    case, found = lead(*(dump(r, [entry(1), entry(2)], FULL) for r in range(4)))
    assert found is None
    assert case.ended is Ended.NOT_RUN


def test_the_ring_has_forgotten_the_older_calls():
    rows = [[entry(s) for s in range(10 if r else 30, 50)] + [entry(50, state="started")] for r in range(4)]
    rows[1] = rows[1][:-1]
    _, found = lead(*(dump(r, rows[r], FULL) for r in range(4)))
    assert found == ("collective-missing-rank", (1,))


def test_ranks_of_different_groups_are_not_compared():
    groups = {"0": range(4), "tp0": (0, 1), "tp1": (2, 3)}
    rows = [
        [
            entry(1),
            entry(1, "nccl:all_gather" if r > 1 else "nccl:reduce", group=(f"tp{r // 2}", "tp"), sizes=((r // 2,),)),
        ]
        for r in range(4)
    ]
    _, found = lead(*(dump(r, rows[r], groups) for r in range(4)))
    assert found is None


def test_who_is_held_up_elsewhere_is_not_the_cause():
    # Rank 3 never comes to group b; rank 1 waits for it there, and so is late for ranks 0 and 2 in group a.
    groups = {"0": range(4), "a": (0, 1, 2), "b": (1, 3)}
    held = [entry(1), entry(1, group=("a", "a"), state="started")]
    rows = [held, [entry(1), entry(1, group=("b", "b"), state="started", sizes=((9,),))], held, [entry(1)]]
    _, found = lead(*(dump(r, rows[r], groups) for r in range(4)))
    assert found == ("collective-missing-rank", (3,))


def between(a, b, op, *, sizes=((8,),), state="completed", **more):
    arrow = "->" if op == "send" else "<-"
    return entry(0, f"nccl:{op} {a}{arrow}{b}", sizes=sizes, state=state, is_p2p=True, **more)


def test_what_was_never_sent():
    rows = [
        [between(0, 1, "send")],
        [between(1, 0, "recv"), between(1, 0, "recv", state="started")],
        [between(2, 3, "send")],
        [between(3, 2, "recv")],
    ]
    case, found = lead(*(dump(r, rows[r], FULL) for r in range(4)))
    assert found == ("collective-missing-rank", (0,))
    assert "send from 0 to 1" in judge(case).diagnoses[0].title


def test_a_sender_that_is_held_up_is_not_the_cause():
    # A pipeline: 3 waits for 2, that for 1, that for 0, which sends nothing and is in no call.
    rows = [[], *([between(r, r - 1, "recv", state="started")] for r in (1, 2, 3))]
    _, found = lead(*(dump(r, rows[r], FULL) for r in range(4)))
    assert found == ("collective-missing-rank", (0,))


def test_a_recv_that_was_posted_early_is_not_the_cause():
    stuck = entry(1, state="started")
    rows = [[stuck], [between(1, 0, "recv", state="started"), stuck], [], [stuck]]
    _, found = lead(*(dump(r, rows[r], FULL) for r in range(4)))
    assert found == ("collective-missing-rank", (2,))


def test_two_that_wait_for_each_other_s_message():
    rows = [[between(r, 1 - r, "recv", state="started")] for r in range(2)]
    _, found = lead(*(dump(r, rows[r], {"0": (0, 1)}) for r in range(2)))
    assert found is not None
    assert found[0] == "collective-order-mismatch"


def test_a_message_of_another_size_than_is_received():
    rows = [[between(0, 1, "send", state="started")], [between(1, 0, "recv", sizes=((4,),), state="started")]]
    _, found = lead(*(dump(r, rows[r], {"0": (0, 1)}) for r in range(2)))
    assert found == ("collective-shape-mismatch", (0, 1))


def test_ranks_of_a_group_are_its_own_numbers():
    groups = {"0": range(4), "pp": (1, 3)}
    rows = [[], [], [], [between(1, 0, "recv", state="started", group=("pp", "pp"))]]
    _, found = lead(*(dump(r, rows[r], groups) for r in range(4)))
    assert found == ("collective-missing-rank", (1,))


def test_sends_are_not_compared_where_older_ones_are_forgotten():
    rows = [[between(0, 1, "send", record_id=7)], [between(1, 0, "recv"), between(1, 0, "recv", state="started")]]
    case, found = lead(*(dump(r, rows[r], {"0": (0, 1)}) for r in range(2)))
    assert found is None
    assert any("rank 0 are not compared" in note for note in case.not_read)


def test_groups_that_wait_for_each_other():
    groups = {"a": (0, 1), "b": (0, 1)}
    rows = [
        [entry(1, group=("a" if r else "b", ""), state="started", name=f"nccl:{'all_reduce' if r else 'barrier'}")]
        for r in range(2)
    ]
    _, found = lead(*(dump(r, rows[r], groups) for r in range(2)))
    assert found is not None
    assert found[0] == "collective-order-mismatch"


def test_a_rank_without_a_dump_is_told():
    case, _ = lead(*(dump(r, [entry(1)], FULL) for r in range(3)))
    assert any("rank 3: no dump" in note for note in case.not_read)


def test_sizes_that_may_differ_do():
    rows = [[entry(1, "nccl:all_to_all", sizes=((r,),), state="started")] for r in range(4)]
    _, found = lead(*(dump(r, rows[r], FULL) for r in range(4)))
    assert found is None


def test_names_tell_ranks():
    names = {"nccl_trace_rank_3": 3, "/tmp/x1/fr_7.json": 7, "trace12": 12, "dump.json": None, "host2/rank-4.pickle": 4}
    assert {name: flight_recorder.rank_of(name) for name in names} == names


def test_a_pickle_that_would_run_something_is_an_error_of_one_line():
    class Evil:
        def __reduce__(self):
            return print, ("gone",)

    raw = pickle.dumps({"version": "2.10", "pg_config": {}, "entries": Evil()}, 2)
    assert flight_recorder.is_dump(raw)
    with pytest.raises(InputError, match="no flight recorder's pickle that can be trusted"):
        flight_recorder.parse("nccl_trace_rank_0", raw)


JUNK = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3), max_leaves=6)  # fmt: skip
FIELDS = st.sampled_from(sorted(entry(1)))


@given(st.lists(st.dictionaries(FIELDS, JUNK), max_size=4), JUNK, JUNK)
def test_fields_of_any_kind_are_survived(entries, config, other):
    rows = [{**entry(1), **e} for e in entries]
    raw = pickle.dumps({"version": other, "pg_config": config, "entries": rows}, 2)
    dumps = tuple(flight_recorder.parse(f"rank_{r}", raw) for r in range(2))
    judge(case_of(dumps))


# --- py-spy ---------------------------------------------------------------------------------------------------------

WAITS = """Process {pid}: /usr/bin/python train.py --token=hf_abcdefghijklmnopqrstuvwxyz
Python v3.11.7 (/usr/bin/python3.11)

Thread {pid} (idle): "MainThread"
    all_reduce (torch/distributed/distributed_c10d.py:3252)
    _exception_logger.<locals>.wrapper (torch/distributed/c10d_logger.py:83)
    train (train.py:9)
        Locals:
            loss: (nan)
    <module> (train.py:20)
Thread 99 (active): "pin"
    poll (selectors.py:1)
"""
ELSEWHERE = """Process 12: python train.py
Python v3.11.7 (/usr/bin/python3.11)

Thread 0x7F12 (active+gil): "MainThread"
    read (PIL/Image.py:1)
    load (data.py:7)
"""


def test_a_dump_of_py_spy():
    assert py_spy.is_dump(WAITS.format(pid=11).encode())
    (stack,) = py_spy.parse(WAITS.format(pid=11).encode())
    assert stack.pid == 11
    assert "hf_" not in stack.command
    assert stack.main[-1] == "<module> (train.py:20)"
    assert len(stack.main) == 4
    assert stacks.standing(stack.main) == stacks.Standing(
        phase="steady", op="all_reduce", waits=True, at="train (train.py:9)"
    )


def test_who_is_elsewhere_while_the_others_wait():
    texts = [WAITS.format(pid=10), WAITS.format(pid=11), ELSEWHERE]
    found = [(f"stack-rank-{n}.txt", s) for n, t in enumerate(texts) for s in py_spy.parse(t.encode())]
    lead = judge(py_spy.case_of(tuple(found))).diagnoses[0]
    assert (lead.cause, lead.ranks) == ("collective-missing-rank", (2,))
    assert any("read (PIL/Image.py:1)" in e.text for e in lead.evidence)
    together = tuple(("all.txt", s) for s in py_spy.parse("".join(texts).encode()))
    assert judge(py_spy.case_of(together)).diagnoses[0].ranks == (2,)


def test_stacks_beside_a_recorder_s_dumps_show_what_a_rank_does_instead():
    ahead = [entry(1), entry(2, state="started")]
    case = case_of(tuple(dump(r, ahead[: 1 if r == 2 else 2], {"0": range(3)}) for r in range(3)))
    texts = [WAITS.format(pid=10), WAITS.format(pid=11), ELSEWHERE]
    named = tuple((f"stack-rank-{n}.txt", s) for n, t in enumerate(texts) for s in py_spy.parse(t.encode()))
    found = judge(py_spy.beside(case, named)).diagnoses[0]
    assert (found.cause, found.ranks) == ("collective-missing-rank", (2,))
    assert any("read (PIL/Image.py:1)" in e.text for e in found.evidence)
    nameless = tuple(("all.txt", s) for _, s in named)
    told = py_spy.beside(case, nameless)
    assert told.ranks == case.ranks
    assert "name the files by their ranks" in told.not_read[-1]


def test_calls_that_differ_in_stacks():
    texts = [WAITS.format(pid=p) for p in range(3)]
    texts[1] = texts[1].replace("all_reduce", "barrier")
    found = tuple((f"rank{n}", s) for n, t in enumerate(texts) for s in py_spy.parse(t.encode()))
    lead = judge(py_spy.case_of(found)).diagnoses[0]
    assert (lead.cause, lead.ranks) == ("collective-order-mismatch", (1,))


@given(st.binary(max_size=400))
def test_anything_is_survived_by_the_parser(data):
    py_spy.parse(b"Process 1: x\n" + data)
    py_spy.is_dump(data)
    flight_recorder.is_dump(data)
