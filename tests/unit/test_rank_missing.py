"""Where one rank alone was heard: who was not, and how all of them can be."""

import pytest

from commcheck.diagnose.rules.rendezvous.rank_missing import RULE
from commcheck.model.case import Case, Ended, Origin, PhaseRecord, RankRecord, World
from commcheck.model.phase import Phase, PhaseStatus


def alone(size, environment=None, origin=Origin.JOINED, number=0, **more):
    waits = PhaseRecord(phase=Phase.STORE, status=PhaseStatus.RUNNING, begin=0.0, seconds=0.0)
    rank = RankRecord(
        slot=0,
        rank=number,
        world_size=size,
        host="a",
        started="joined",
        phases=(waits,),
        environment=environment or {},
        **more,
    )
    return Case(
        origin=origin, world=World(size=size, backend="gloo"), ranks=(rank,), complete=True, ended=Ended.STALLED
    )


@pytest.mark.parametrize(("size", "others"), [(2, "rank 1"), (8, "ranks 1-7"), (1024, "ranks 1-1023")])
def test_all_others_are_told_as_not_heard_and_none_is_called_missing(size, others):
    found = RULE.match(alone(size))
    assert found.ranks == ()
    assert "missing" not in found.title
    assert any(f"nothing was heard here of {others}: some of them may be there" in e.text for e in found.evidence)
    assert others in found.fixes[0].text


@pytest.mark.parametrize(
    ("environment", "origin", "first", "count"),
    [
        ({}, Origin.JOINED, "--report-to stdout", 2),
        ({"SLURM_JOB_ID": "7"}, Origin.JOINED, "by srun", 3),
        ({}, Origin.LIVE, "--report-dir", 1),
    ],
)
def test_what_is_advised_fits_how_the_ranks_were_started(environment, origin, first, count):
    found = RULE.match(alone(4, environment, origin))
    assert first in found.next[0]
    assert "--report-dir" in found.next[-1]
    assert len(found.next) == count


def test_whom_the_store_s_rank_waits_for_is_missing():
    found = RULE.match(alone(4, waits_for=(2, 3)))
    assert found.ranks == (2, 3)
    assert found.next == ()
