"""What NCCL's RAS says, as text and as JSON, is read back as the job that it was said of; and what commcheck makes of it.

The files under data/ras are answers of libnccl 2.29.7 itself, from processes without a GPU that were given communicators of
four ranks: rank 2 is one all-reduce behind, rank 1 has a CUDA error, rank 3 is stopped (SIGSTOP), killed, and dead after 60 s.
"""

import json
from collections import Counter
from itertools import groupby
from pathlib import Path

import made_ras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commcheck.cli.dumps import take, with_logs
from commcheck.cli.reading import read
from commcheck.diagnose.build import report
from commcheck.diagnose.ingest import ras_json, ras_text
from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge
from commcheck.errors import InputError
from commcheck.model.case import Case, LogLine, Origin
from commcheck.model.diagnosis import Role, Verdict

DATA = Path(__file__).parent / "data" / "ras"


def diagnosed(*files):
    """The roots, best first, of files as `commcheck diagnose` reads them, and the verdict."""
    found = with_logs(take([str(f) for f in files]), lambda left: read(left, lambda _: None))
    judgement = judge(found.case)
    return judgement.verdict, [d for d in judgement.diagnoses if d.role is Role.ROOT], judgement


@pytest.mark.parametrize("form", ["txt", "json"])
@pytest.mark.parametrize(
    ("name", "cause", "ranks", "verdict"),
    [
        ("mismatch", "collective-missing-rank", (2,), Verdict.INCONCLUSIVE),
        ("error", "device-fault", (1,), Verdict.UNHEALTHY),
        ("stopped", "rank-stopped", (3,), Verdict.UNHEALTHY),
        ("killed", "rank-killed", (3,), Verdict.UNHEALTHY),
        ("dead", "rank-killed", (3,), Verdict.UNHEALTHY),
    ],
)
def test_the_librarys_own_answers(name, cause, ranks, verdict, form):
    if (name, form) == ("stopped", "json"):
        cause = "rank-killed"  # asked a second time RAS waits for nobody, and so it cannot be told
    said, roots, judgement = diagnosed(DATA / f"{name}.{form}")
    assert (said, roots[0].cause, roots[0].ranks) == (verdict, cause, ranks)
    assert roots[0].confidence < 0.75, "RAS alone decides nothing"
    assert judgement.next
    assert all(e.text for e in roots[0].evidence)
    assert all(e.line for e in roots[0].evidence[:1]) == (form == "txt")


def test_both_states_of_a_lost_process_are_named():
    _, roots, _ = diagnosed(DATA / "killed.txt")
    assert [d.cause for d in roots] == ["rank-killed", "rank-stopped"]
    assert {d.ranks for d in roots} == {(3,)}
    assert any("looks the same" in e.text for e in roots[0].against)


def test_who_was_waited_for_in_vain_is_remembered():
    both = (DATA / "stopped.txt").read_bytes() + (DATA / "stopped-again.txt").read_bytes()
    found = judge(case_from_text([("job.log", both)])).diagnoses
    assert found[0].cause == "rank-stopped"
    assert (
        judge(case_from_text([("job.log", (DATA / "stopped-again.txt").read_bytes())])).diagnoses[0].cause
        == "rank-killed"
    )


def test_what_has_come_back_is_not_blamed():
    both = (DATA / "stopped.txt").read_bytes() + (DATA / "continued.txt").read_bytes()
    judgement = judge(case_from_text([("job.log", both)]))
    assert not {"rank-stopped", "rank-killed"} & {d.cause for d in judgement.diagnoses}


def test_two_answers_that_are_alike_show_a_standstill(tmp_path):
    """One may be a moment of work. The time between them is what the answers themselves say."""
    ranks = [made_ras.Rank(n, "10.0.0.1", 100 + n, (0, 0, 3, 0, 16 if n == 2 else 17)) for n in range(4)]

    def ask(second, *, counts=None):
        file = tmp_path / f"{second}.json"
        rows = ranks if counts is None else [r._replace(counts=counts(r)) for r in ranks]
        file.write_text(made_ras.as_json(rows, timestamp=f"2026-05-04 10:00:{second:02}"))
        return file

    verdict, roots, judgement = diagnosed(ask(0))
    assert (verdict, roots[0].confidence) == (Verdict.INCONCLUSIVE, 0.4)
    assert "ask again" in judgement.next[0]
    verdict, roots, _ = diagnosed(ask(0), ask(10))
    assert (verdict, roots[0].cause, roots[0].ranks) == (Verdict.UNHEALTHY, "collective-missing-rank", (2,))
    assert roots[0].confidence == 0.75
    assert diagnosed(ask(0), ask(1))[1][0].confidence < 0.75
    assert not diagnosed(ask(0), ask(20, counts=lambda r: (0, 0, 3, 0, r.counts[4] + 5)))[1], "they have moved"


def test_ranks_that_call_different_things(tmp_path):
    rows = [made_ras.Rank(n, "10.0.0.1", 100 + n, (1, 0, 0, 0, 8) if n == 1 else (0, 0, 0, 0, 9)) for n in range(4)]
    for second in (0, 30):
        (tmp_path / f"{second}.json").write_text(made_ras.as_json(rows, timestamp=f"2026-05-04 10:00:{second:02}"))
    _, roots, _ = diagnosed(tmp_path / "0.json", tmp_path / "30.json")
    assert roots[0].cause == "collective-order-mismatch"


def test_who_has_left_a_communicator_that_the_others_go_on_with():
    """For a moment that is so whenever one is given up."""
    ranks = [
        made_ras.Rank(n, "10.0.0.1", 100 + n, (0, 0, 0, 0, 9), "NOCOMM" if n == 3 else "RUNNING") for n in range(4)
    ]
    once, again = (
        ras_json.parse("x", made_ras.as_json(ranks, timestamp=f"2026-05-04 10:00:{second}").encode())[0]
        for second in ("00", "20")
    )
    assert not judge(Case(origin=Origin.LOG, ras=(once,))).diagnoses
    (found,) = judge(Case(origin=Origin.LOG, ras=(once, again))).diagnoses
    assert (found.cause, found.ranks, found.confidence) == ("collective-missing-rank", (3,), 0.5)
    assert "has left" in found.title


def test_ranks_of_a_smaller_communicator_are_the_worlds():
    """Their numbers in it are others; what they are in the world is known by their processes."""
    whole = json.loads(made_ras.as_json([made_ras.Rank(n, "10.0.0.1", 100 + n, (0, 0, 0, 0, 5)) for n in range(4)]))
    part = json.loads(made_ras.as_json([made_ras.Rank(n, "10.0.0.1", 102 + n, (0, 0, n, 0, 0)) for n in range(2)]))
    part["communicators"][0]["hash"] = "0x1"
    whole["communicators"] += part["communicators"]
    (answer,) = ras_json.parse("ras.json", json.dumps(whole).encode())
    (found, *_) = judge(Case(origin=Origin.LOG, ras=(answer,))).diagnoses
    assert (found.cause, found.ranks) == ("collective-missing-rank", (2,))
    only = ras_json.parse("ras.json", json.dumps(part).encode())[0]
    assert judge(Case(origin=Origin.LOG, ras=(only,))).diagnoses[0].ranks == (0,)
    # Of two that are alike neither is the world.
    whole["communicators"] = [json.loads(json.dumps(part["communicators"][0])) | {"hash": h} for h in ("0x1", "0x2")]
    for rank in whole["communicators"][1]["ranks"]:
        rank |= {"pid": rank["pid"] + 50, "collective_counts": {}}
    (found, *_) = judge(Case(origin=Origin.LOG, ras=ras_json.parse("x", json.dumps(whole).encode()))).diagnoses
    assert found.ranks == ()
    assert found.title.startswith("Rank 0 of communicator 0x1, which numbers them anew")


def test_a_healthy_job_gives_no_diagnosis():
    ranks = [made_ras.Rank(n, "10.0.0.1", 100 + n, (0, 0, 3, 0, 17)) for n in range(8)]
    for case in (
        case_from_text([("job.log", made_ras.text(ranks).encode())]),
        Case(origin=Origin.LOG, ras=ras_json.parse("x", made_ras.as_json(ranks).encode())),
    ):
        judgement = judge(case)
        assert (judgement.verdict, judgement.diagnoses) == (Verdict.INCONCLUSIVE, ())
        assert any("RAS of NCCL" in note for note in report(case, judgement, command=(), seconds=0.0).notes)


def test_2_24_names_missing_ranks_by_number_and_counts_all_calls_together():
    """docs.nvidia.com/deeplearning/nccl, "RAS", of 2.24."""
    text = """\
  Communicators... (2.05s)
  =============

  Group     Comms     Nodes     Ranks     Ranks     Ranks    Status  Errors
      #  in group  per comm  per node  per comm  in group
      0         1         4       7-8        32        32   RUNNING  INCOMPLETE

  Errors
  ======

  INCOMPLETE
    Missing communicator data from 1 job process
    Process 3487984 on node 172.16.64.213 managing GPU 5

  #0-0 (cf264af53edbe986) INCOMPLETE
    Missing communicator data from 1 rank
    The missing rank: 21

  Warnings
  ========

  TIMEOUT
    Encountered 2 communication timeouts while gathering communicator data
"""
    found = judge(case_from_text([("ras.txt", text.encode())])).diagnoses
    assert (found[0].cause, found[0].ranks, found[0].hosts) == ("rank-stopped", (21,), ("172.16.64.213",))
    text = """\
Job summary
===========
    0         1         4         8        32        32   RUNNING  MISMATCH
#0-0 (27a079b828ff1a75) MISMATCH
  Communicator ranks have different collective operation counts
  31 ranks have launched up to operation 6650
  Rank 5 has launched up to operation 6649 -- GPU 5 managed by process 483077 on node 172.16.64.210
"""
    (answer,) = case_from_text([("ras.txt", text.encode())]).ras
    (split,) = answer.communicators[0].splits
    assert (split.what, answer.communicators[0].size) == ("", 32)
    assert judge(case_from_text([("ras.txt", text.encode())])).diagnoses[0].ranks == (5,)


def test_monitor_mode_tells_of_the_dead():
    text = "[2025-12-19 13:07:07] PEER_DEAD: Process 1524345 on node 172.16.64.245 managing GPU 1 \n"
    found = judge(case_from_text([("ras.txt", text.encode())])).diagnoses
    assert (found[0].cause, found[0].hosts) == ("rank-killed", ("172.16.64.245",))
    event = {
        "timestamp": "2025-12-19 13:07:07", "group": "LIFECYCLE", "event": "PEER_DEAD",
        "peer": {"host": "172.16.64.245", "pid": 1524345, "cuda_devs": [1], "nvml_devs": [1]}, "details": "",
    }  # fmt: skip
    new = json.dumps({**event, "event": "PEER_NEW"}, indent=2)
    data = f"{new}\n{json.dumps(event, indent=2)}\n".encode()
    assert ras_json.is_answer(data)
    answers = ras_json.parse("events.json", data)
    assert [a.dead_count for a in answers] == [0, 1]


def test_json_that_is_cut_off_is_said(tmp_path):
    file = tmp_path / "ras.json"
    file.write_bytes((DATA / "dead.json").read_bytes()[:900])
    with pytest.raises(InputError, match=r"ras\.json: begins like the JSON of ncclras"):
        take([str(file)])


# --- any job ------------------------------------------------------------------------------------------------


@st.composite
def jobs(draw):
    """Ranks of any number in all kinds of states."""
    size = draw(st.integers(2, 40))
    rare = st.sampled_from(["RUNNING"] * 12 + ["INIT", "FINALIZE", "ABORT", "silent", "dead", "NOCOMM"])
    usual = draw(st.tuples(*[st.integers(0, 3)] * 5))
    ranks = []
    for number in range(size):
        counts = draw(st.sampled_from([usual] * 6 + [tuple(c + 1 for c in usual), (usual[0] + 2, *usual[1:])]))
        state = "RUNNING" if number == 0 else draw(rare)
        error = draw(st.sampled_from([0] * 9 + [1, 2, 6])) if number else 0
        ranks.append(made_ras.Rank(number, f"10.0.0.{number // 8}", 1000 + number, counts, state, error))
    return ranks


def groups_of(ranks):
    """What a reader should find: by collective, or status, the number of ranks by value; only where they differ."""
    there = [r for r in ranks if r.there]
    found = {op: Counter(str(r.counts[n]) for r in there) for n, op in enumerate(made_ras.OPS)}
    found["status"] = Counter(r.state for r in ranks if r.there or r.state == "NOCOMM")
    return {what: groups for what, groups in found.items() if len(groups) > 1}


@settings(max_examples=60)
@given(jobs(), st.booleans(), st.integers(0, 3))
def test_text_is_read_back(ranks, verbose, timeouts):
    rows = made_ras.text(ranks, verbose=verbose, timeouts=timeouts).splitlines()
    (answer,) = ras_text.read(LogLine(source="x", number=n, text=t) for n, t in enumerate(rows, 1))
    silent, dead = ([r for r in ranks if r.state == state] for state in ("silent", "dead"))
    assert (answer.version, answer.timeouts) == ("2.29.7", timeouts)
    assert (answer.silent_count, answer.dead_count) == (len(silent), len(dead))
    for found, group in ((answer.silent, silent), (answer.dead, dead)):
        shown = group if made_ras.outlier(len(group), verbose=verbose) else []
        assert [(p.pid, p.host) for p in found] == [(r.pid, r.host) for r in shown]
    one = answer.communicators[0] if answer.communicators else None
    assert one is None or one.size == len(ranks)
    splits = {s.what: {g.value: g.count for g in s.groups} for s in (one.splits if one else ())}
    assert splits == groups_of(ranks)
    for split in one.splits if one else ():
        for group in split.groups:
            named = made_ras.outlier(group.count, verbose=verbose, total=len(ranks))
            assert len(group.members) == (group.count if named else 0)
            for member in group.members:
                rank = ranks[member.rank]
                assert (member.process.pid, member.process.host) == (rank.pid, rank.host)
                known = rank.state if split.what == "status" else str(rank.counts[made_ras.OPS.index(split.what)])
                assert group.value == known
    errors = Counter(made_ras.ERRORS[r.error] for r in ranks if r.there and r.error)
    assert {f.error: f.count for f in (one.failures if one else ())} == errors


@settings(max_examples=40)
@given(jobs())
def test_json_says_the_same(ranks):
    (answer,) = ras_json.parse("x", made_ras.as_json(ranks, timeouts=2).encode())
    (one,) = answer.communicators
    assert {s.what: {g.value: g.count for g in s.groups} for s in one.splits} == groups_of(ranks)
    assert all(len(g.members) == g.count for s in one.splits for g in s.groups)
    assert {p.pid for p in answer.silent} == {r.pid for r in ranks if r.state == "silent"}
    assert {p.pid for p in answer.dead} == {r.pid for r in ranks if r.state == "dead"}
    assert {m.rank for m in one.silent} == {r.number for r in ranks if r.state in ("silent", "dead")}
    assert {f.error: f.count for f in one.failures} == Counter(
        made_ras.ERRORS[r.error] for r in ranks if r.there and r.error
    )


@settings(max_examples=30)
@given(jobs())
def test_whoever_is_named_is_not_like_the_others(ranks):
    """No rank that runs, has no error and has issued what the most advanced one has, is ever blamed."""
    (answer,) = ras_json.parse("x", made_ras.as_json(ranks).encode())
    there = [r for r in ranks if r.there]
    most = [max(r.counts[n] for r in there) for n in range(5)]
    fine = {r.number for r in there if list(r.counts) == most and not r.error}
    for found in judge(Case(origin=Origin.LOG, ras=(answer, answer))).diagnoses:
        assert not fine & set(found.ranks), found


LINES = [line for f in sorted(DATA.glob("*.txt")) for line in f.read_text().splitlines()]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=60)), max_size=40))
def test_torn_answers_do_no_harm(lines):
    """Lines in any order, with any left out, between others."""
    answers = ras_text.read(LogLine(source="x", number=n, text=t) for n, t in enumerate(lines, 1))
    judge(Case(origin=Origin.LOG, ras=answers))


@settings(max_examples=50)
@given(st.data())
def test_any_json_is_read_or_refused(data):
    text = (DATA / "dead.json").read_bytes()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.binary(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    try:
        answers = ras_json.parse("x", text)
    except InputError:
        return
    judge(Case(origin=Origin.LOG, ras=answers))


def test_groups_are_as_many_as_ranks_at_most():
    """Guards the maker of answers: the alternatives above really occur."""
    ranks = [made_ras.Rank(n, "h", n + 1, (n // 20, 0, 0, 0, 0)) for n in range(40)]
    text = made_ras.text(ranks)
    assert "20 ranks have not launched any operations" in text
    assert "Rank 3 --" not in text
    assert [k for k, _ in groupby(sorted(r.counts[0] for r in ranks))] == [0, 1]
