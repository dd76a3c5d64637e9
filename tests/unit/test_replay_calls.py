"""Recordings: the calls of dumps as a script, cut in size without becoming equal, and folded onto fewer ranks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.errors import InputError, UsageError
from commcheck.model.plan import Place, Plan, RankPlan
from commcheck.model.scenario import Expect, RankSettings, Scenario, World
from commcheck.model.script import decode, encode
from commcheck.replay.calls import LARGEST_BYTES, LOOK_BACK, WIDEST, WORLD, _cut, folded, script, tape
from commcheck.replay.fold import chosen, resized, resized_scenario
from commcheck.scenarios.kinds import specs

DEFAULT = ("0", "default_pg")


def entry(seq, name="nccl:all_reduce", *, group=DEFAULT, sizes=((4,),), out=None, dtype="Float", **more):
    return {
        "collective_seq_id": seq, "p2p_seq_id": 0, "profiling_name": name, "process_group": list(group), "is_p2p": False,
        "input_sizes": [list(s) for s in sizes], "input_dtypes": [dtype] if sizes else [],
        "output_sizes": [list(s) for s in (sizes if out is None else out)], "output_dtypes": [dtype], "state": "completed", **more,
    }  # fmt: skip


def dump(rank, *entries, groups=None):
    config = {n: {"name": n, "desc": "", "ranks": str(list(r))} for n, r in (groups or {}).items()}
    value = {"version": "2.10", "pg_config": config, "pg_status": {}, "entries": list(entries)}
    return tape(f"nccl_trace_rank_{rank}", json.dumps(value).encode())


def called(part):
    return [(c.op, c.group, c.size, c.peer) for c in part.calls]


def test_calls_keep_their_order_groups_and_parts():
    groups = {"0": (0, 1, 2), "1": (0, 2), "2": (1, 2)}
    rank2 = dump(
        2,
        entry(1),
        entry(1, "nccl:_all_gather_base", group=("2", "x"), sizes=((3,),), out=((6,),)),
        entry(1, "nccl:_reduce_scatter_base", group=("1", "x"), sizes=((8,),), out=((4,),)),
        entry(2, "nccl:all_to_all", sizes=((9,),)),
        entry(3, "nccl:all_reduce_barrier", sizes=((1,),)),
        groups=groups,
    )
    made = script([dump(0, entry(1), groups=groups), dump(1, entry(1), groups=groups), rank2])
    assert made.groups == ((0, 2), (1, 2))
    assert called(made.parts[2]) == [
        ("all_reduce", WORLD, 4, -1),
        ("all_gather_into_tensor", 1, 3, -1),
        ("reduce_scatter_tensor", 0, 4, -1),
        ("all_to_all", WORLD, 3, -1),
        ("barrier", WORLD, 0, -1),
    ]
    assert decode(encode(made)) == made


def test_roots_and_peers_are_ranks_of_the_world():
    groups = {"0": (0, 1, 2), "1": (0, 2)}
    pair = ("1", "x")
    zero = dump(
        0,
        entry(1, "gloo:gather", group=pair, sizes=((2,),), out=()),
        entry(2, "gloo:scatter", group=pair, sizes=(), out=((2,),)),
        entry(0, "nccl:send 0->1", group=pair, is_p2p=True),
        entry(1, "gloo:broadcast"),
        groups=groups,
    )
    two = dump(
        2,
        entry(1, "gloo:gather", group=pair, sizes=((2,),), out=((2, 2),)),
        entry(2, "gloo:scatter", group=pair, sizes=((2, 2),), out=((2,),)),
        entry(0, "nccl:recv 1<-0", group=pair, is_p2p=True),
        entry(1, "gloo:broadcast"),
        groups=groups,
    )
    made = script([zero, dump(1, entry(1, "gloo:broadcast"), groups=groups), two])
    assert called(made.parts[0]) == [
        ("gather", 0, 2, 2),
        ("scatter", 0, 2, 2),
        ("send", 0, 4, 2),
        ("broadcast", WORLD, 4, 0),
    ]
    assert called(made.parts[2]) == [
        ("gather", 0, 2, 2),
        ("scatter", 0, 2, 2),
        ("recv", 0, 4, 0),
        ("broadcast", WORLD, 4, 0),
    ]


def test_one_name_with_other_members_is_another_group():
    here, there = {"1": (0, 1)}, {"1": (1, 2)}
    group = ("1", "x")
    made = script(
        [dump(0, entry(1, group=group), groups=here), dump(1, entry(1, group=group), groups=there), dump(2, entry(1))]
    )
    assert made.groups == ((0, 1), (1, 2))
    assert [p.calls[0].group for p in made.parts[:2]] == [0, 1]


def test_rings_are_cut_to_what_all_remember():
    made = script([dump(0, *(entry(i) for i in range(3, 9))), dump(1, *(entry(i) for i in range(5, 10)))])
    assert [[c.seq for c in p.calls] for p in made.parts] == [[5, 6, 7, 8], [5, 6, 7, 8, 9]]


def test_what_agreed_long_ago_is_left_out():
    many = [entry(i) for i in range(1, 1001)]
    made = script([dump(0, *many), dump(1, *many[:-1])])
    assert [(p.calls[0].seq, p.calls[-1].seq) for p in made.parts] == [(999 - LOOK_BACK, 1000), (999 - LOOK_BACK, 999)]
    other = [*many[:299], entry(300, sizes=((5,),)), *many[300:]]
    made = script([dump(0, *many), dump(1, *other)])
    assert [(p.calls[0].seq, p.calls[-1].seq) for p in made.parts] == [(300 - LOOK_BACK, 1000)] * 2


def test_who_left_no_dump_is_not_judged_and_said():
    made = script([dump(0, entry(1)), dump(2, entry(1))])
    assert [p.recorded for p in made.parts] == [True, False, True]
    assert any("rank 1: no dump" in n for n in made.notes)


def test_what_is_not_played_is_said():
    made = script([dump(0, entry(1, "nccl:new_thing"), entry(2)), dump(1, entry(2))])
    assert any("not played, on any rank: new_thing" in n for n in made.notes)
    assert [len(p.calls) for p in made.parts] == [1, 1]


@pytest.mark.parametrize("tapes", [[], [dump(0), dump(1)]])
def test_nothing_to_play_is_an_error(tapes):
    with pytest.raises(InputError, match="hold no call"):
        script(tapes)


def test_a_wrong_number_in_a_name_is_no_world_of_thousands():
    with pytest.raises(InputError, match="give those of all"):
        script([dump(0, entry(1)), dump(4711, entry(1))])


@given(st.sets(st.integers(0, 1 << 40), max_size=60), st.integers(1, 5000))
def test_sizes_are_cut_so_that_what_differs_still_differs(sizes, cap):
    cut = _cut(sizes, cap)
    assert cut.keys() == sizes
    assert len(set(cut.values())) == len(sizes)
    assert max(cut.values(), default=0) <= cap + len(sizes)
    assert sorted(sizes, key=cut.__getitem__) == sorted(sizes)
    assert all(cut[s] == s for s in sizes if s <= cap)


@given(st.lists(st.integers(1, 1 << 34), min_size=1, max_size=6), st.integers(2, 6))
def test_no_call_is_larger_than_the_bound(sizes, ranks):
    entries = [entry(i + 1, "nccl:all_gather", sizes=((s,),)) for i, s in enumerate(sizes)]
    made = script([dump(r, *entries) for r in range(ranks)])
    assert all((c.size - len(sizes)) * ranks * WIDEST <= LARGEST_BYTES for p in made.parts for c in p.calls)


@given(
    st.integers(1, 40),
    st.lists(st.integers(0, 39), max_size=10),
    st.integers(1, 40),
    st.lists(st.integers(0, 39), max_size=5),
)
def test_who_differs_is_chosen_and_stays_a_minority(many, special, size, beside):
    kept = chosen(range(many), special, size, beside=beside)
    real = {s for s in special if s < many}
    assert len(kept) == min(size, many)
    assert list(kept) == sorted(set(kept))
    if real and len(kept) < many:
        assert real & set(kept)
        if len(kept) >= 3 and many - len(real) > len(kept) // 2:
            assert len(real & set(kept)) * 2 < len(kept)


def test_a_folded_script_has_new_numbers_and_smaller_groups():
    groups = {"0": (0, 1, 2, 3), "1": (1, 3)}
    sends = entry(0, "nccl:send 0->3", is_p2p=True)
    parts = [
        dump(r, entry(1), *([entry(1, group=("1", "x"))] if r in (1, 3) else [sends] if r == 0 else []), groups=groups)
        for r in range(4)
    ]
    small = folded(script(parts), (0, 3))
    assert small.groups == ((1,),)
    assert [p.rank for p in small.parts] == [0, 3]
    assert called(small.parts[0])[-1] == ("send", WORLD, 4, 1)
    assert called(folded(script(parts), (0, 1)).parts[0]) == [("all_reduce", WORLD, 4, -1)]


# -- plans


def plan(size, **special):
    def rank(slot):
        env = {
            "RANK": str(slot),
            "WORLD_SIZE": str(size),
            "LOCAL_RANK": str(slot // 2),
            "LOCAL_WORLD_SIZE": str(size // 2),
        }
        return RankPlan(slot=slot, environment=env | special.get(f"r{slot}", {}), place=Place(host=f"n{slot % 2}"))

    return Plan(size=size, backend="gloo", ranks=tuple(map(rank, range(size))))


def test_fewer_ranks_keep_the_one_that_is_wrong():
    small, note = resized(plan(8, r5={"GLOO_SOCKET_IFNAME": "nope0"}), (5,), 3)
    assert [r.environment["RANK"] for r in small.ranks] == ["0", "1", "2"]
    assert [r.environment.get("GLOO_SOCKET_IFNAME") for r in small.ranks] == [None, None, "nope0"]
    assert [(r.environment["WORLD_SIZE"], r.environment["LOCAL_RANK"]) for r in small.ranks] == [
        ("3", "0"),
        ("3", "0"),
        ("3", "1"),
    ]
    assert (small.size, note) == (3, "3 of 8 ranks: rank 2 is rank 5 of then")


def test_what_was_set_wrongly_stays_as_it_was_set():
    small, _ = resized(plan(4, r1={"RANK": "0"}, r2={"WORLD_SIZE": "9"}), (2,), 3)
    assert [r.environment["RANK"] for r in small.ranks] == ["0", "0", "2"]
    assert small.ranks[2].environment["WORLD_SIZE"] == "9"


@given(st.integers(1, 9), st.sets(st.integers(0, 8), max_size=3), st.integers(1, 14))
def test_a_plan_of_any_size_is_whole(before, culprits, after):
    made, _ = resized(plan(before), culprits, after)
    assert [r.slot for r in made.ranks] == list(range(after))
    assert [r.environment["RANK"] for r in made.ranks] == [str(n) for n in range(after)]
    assert {r.environment["WORLD_SIZE"] for r in made.ranks} == {str(after)}


def test_more_ranks_are_copies_of_one_that_did_nothing_wrong():
    large, note = resized(plan(2, r1={"GLOO_SOCKET_IFNAME": "nope0"}), (1,), 4)
    assert [r.environment.get("GLOO_SOCKET_IFNAME") for r in large.ranks] == [None, "nope0", None, None]
    assert [r.place.host for r in large.ranks] == ["n0", "n1", "n0", "n1"]
    assert "made like rank 0" in note


def test_a_scenario_keeps_the_ranks_that_it_speaks_of():
    kill = specs()["kill"](rank=2)
    made = Scenario(
        title="x", expect=Expect(verdict="unhealthy"), world=World(size=4), fault=(kill,), ranks={"1": RankSettings()}
    )
    assert resized_scenario(made, 3).world.size == 3
    with pytest.raises(UsageError, match="what rank 2 does: at least 3"):
        resized_scenario(made, 2)
