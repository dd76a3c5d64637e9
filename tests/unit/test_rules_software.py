"""Rules about what is installed, from structured evidence."""

from commcheck.diagnose.rules.software.version_mismatch import match
from commcheck.model.case import Case, Ended, HostFacts, Origin, RankRecord


def world(*versions: str, ended: Ended = Ended.FINISHED) -> Case:
    hosts = tuple(HostFacts(host=f"h{i}", versions={"torch": v} if v else {}) for i, v in enumerate(versions))
    ranks = tuple(
        RankRecord(slot=i, rank=i, world_size=len(versions), host=f"h{i}", started="cold") for i in range(len(versions))
    )
    return Case(origin=Origin.WORLD, ended=ended, hosts=hosts, ranks=ranks)


def test_the_odd_one_out_is_named_although_the_world_came_through() -> None:
    found = match(world("2.13.0+cpu", "2.13.0+cpu", "2.12.1+cpu"))
    assert found is not None
    assert found.ranks == (2,)
    assert found.against
    assert found.confidence < 0.75  # it does not end a watch
    assert [e.text for e in found.evidence] == ["torch 2.13.0", "torch 2.12.1"]


def test_of_two_the_first_rank_s_version_is_the_meant_one() -> None:
    found = match(world("2.13.0", "2.12.1", ended=Ended.FAILED))
    assert found is not None
    assert found.ranks == (1,)


def test_other_builds_of_one_release_and_unknown_versions_are_no_mismatch() -> None:
    assert match(world("2.13.0+cpu", "2.13.0+cu130")) is None
    assert match(world("2.13.0+cpu", "")) is None
