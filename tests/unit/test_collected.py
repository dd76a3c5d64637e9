"""Records in a launcher's output: merged as files of a directory are, and what is said of those that are torn or silent."""

import json
import os
import subprocess
import sys

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.cli.collected import collected
from commcheck.model.case import Ended, HostFacts, RankRecord, World
from commcheck.model.rankreport import RANK_SCHEMA, RankReport
from commcheck.runtime.records import Collector, Message, encode
from commcheck.runtime.speaker import KIND, Speaker, heard

SIZE = 4


def report(rank, *, done=True, begun=100.0, pid=None):
    return RankReport(
        schema=RANK_SCHEMA,
        world=World(size=SIZE, backend="gloo"),
        host=HostFacts(host=f"h{rank}", identity=f"i{rank}"),
        rank=RankRecord(slot=0, rank=rank, world_size=SIZE, host=f"h{rank}", started="warm", pid=pid or rank + 10),
        done=done,
        ended=Ended.FINISHED,
        seconds=1.0,
        begun=begun,
        written=begun + (2.0 if done else 1.0),
    )


def said(of, *, run="7.0", process="aa", count=1):
    data = msgspec.json.encode(of)
    return encode(
        Message(kind=KIND, run=run, rank=str(of.rank.rank), stream=f"{process}{of.rank.rank}.{count}", data=data)
    )


def merged(lines, **given):
    collector = Collector()
    collector.feed(b"".join(lines))
    collector.finish()
    found = collected(collector, **given)
    return None if found is None else (found.case, found.notes)


def test_the_last_word_of_each_rank_counts():
    lines = [line for r in range(SIZE) for line in (*said(report(r, done=False)), *said(report(r), count=2))]
    case, notes = merged(lines)
    assert [r.rank for r in case.ranks] == [0, 1, 2, 3]
    assert case.complete
    assert case.not_read == ()
    assert notes == ("merged from the records of 4 rank(s) of run 7.0 on the launcher's output",)


@given(
    st.permutations([line for r in range(SIZE) for line in (*said(report(r, done=False)), *said(report(r), count=2))])
)
def test_in_whatever_order_they_come(lines):
    case, _ = merged(lines)
    assert [(r.rank, r.host) for r in case.ranks] == [(n, f"h{n}") for n in range(SIZE)]


def test_two_processes_of_one_rank_are_both_there():
    case, _ = merged([*said(report(0)), *said(report(1)), *said(report(1, pid=99), process="bb")])
    assert [r.rank for r in case.ranks] == [0, 1, 1]


def test_who_says_nothing_is_missing():
    case, _ = merged([line for r in (0, 1, 3) for line in said(report(r))])
    assert case.complete
    assert {r.rank for r in case.ranks} == {0, 1, 3}


def test_who_is_torn_is_not_missing():
    *lines, _, _ = said(report(2))
    case, _ = merged([line for r in (0, 1, 3) for line in said(report(r))] + lines[:1])
    assert not case.complete
    assert "rank 2 said something that is torn" in " ".join(case.not_read)


def test_who_has_no_last_word_is_said():
    case, _ = merged([*said(report(0)), *said(report(1, done=False))])
    assert "the last word of rank 1 is not there" in " ".join(case.not_read)


def test_an_earlier_run_in_the_same_text_is_left_out():
    before = [line for r in range(SIZE) for line in said(report(r, begun=50.0), run="6.0")]
    case, _ = merged([*before, *said(report(0)), *said(report(1))])
    assert len(case.ranks) == 2
    assert "1 earlier run(s) in the same text were left out" in case.not_read
    asked, _ = merged([*before, *said(report(0))], run="6.0")
    assert len(asked.ranks) == SIZE


def test_a_record_of_another_version_is_said():
    other = replace(report(1), schema="commcheck/rank/0")
    case, _ = merged([*said(report(0)), *said(other)])
    assert "has the schema 'commcheck/rank/0'" in " ".join(case.not_read)
    assert merged(said(other)) is None


def diagnose(path, *options):
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "diagnose", "--format", "json", *options, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout)


HEALTHY = b"".join(line for r in range(SIZE) for line in said(report(r)))


def test_a_preflight_without_a_fault_does_not_speak_for_the_job_after_it(tmp_path):
    log = tmp_path / "job.log"
    log.write_bytes(
        HEALTHY + b"step 1\n[rank2]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n"
    )
    code, found = diagnose(log)
    assert code == 1
    assert found["diagnoses"][0]["cause"] == "memory-exhausted"
    assert "the 4 ranks of the preflight in the same text found nothing wrong" in " ".join(found["notes"])
    assert f"{log}:" not in " ".join(found["not_evaluated"])


def test_pods_logs_in_files_of_their_own_are_one_world(tmp_path):
    for rank in range(SIZE):
        prefix = f"[pod/commcheck-{rank}-x7/rank] ".encode()
        (tmp_path / f"pod-{rank}.log").write_bytes(b"".join(prefix + line for line in said(report(rank))))
    _, found = diagnose(tmp_path)
    assert sorted(p["host"] for p in found["world"]["placed"]) == ["h0", "h1", "h2", "h3"]


def test_a_speaker_is_understood(tmp_path):
    case, _ = merged([*said(report(1))])
    path = tmp_path / "out"
    with path.open("wb") as file:
        speaker = Speaker("1", "7.0", file.fileno())
        speaker.write(case, done=False)
        speaker.write(case, done=True)
    collector = Collector()
    left = collector.feed(path.read_bytes()) + collector.finish()
    first, last = map(heard, collector.messages())
    assert (first.done, last.done, last.rank) == (False, True, case.ranks[0])
    assert left.strip() == b""
    assert speaker.failed == ""


def test_a_reader_that_has_gone_away_costs_no_verdict():

    case, _ = merged([*said(report(1))])
    reading, writing = os.pipe()
    os.close(reading)
    speaker = Speaker("1", "7.0", writing)
    speaker.write(case, done=True)
    os.close(writing)
    assert "Broken pipe" in speaker.failed
