"""Which GPU each rank takes, by LOCAL_RANK and CUDA_VISIBLE_DEVICES, and what is wrong with that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose.devices import taken, visible
from commcheck.diagnose.match import judge
from commcheck.model.case import Case, Ended, HostFacts, Origin, RankError, RankRecord, World
from commcheck.model.fabric import Fabric, PciDevice
from commcheck.model.phase import Phase


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("", ()),
        ("0,1", ("0", "1")),
        (" 3 , 1", ("3", "1")),
        ("0,-1,2", ("0",)),
        ("-1", ()),
        ("none", ()),
        ("2,,1", ("2",)),
        ("GPU-8932f937,GPU-5e1", ("GPU-8932f937", "GPU-5e1")),
        ("MIG-2ad0c5e7", ("MIG-2ad0c5e7",)),
        ("00", ("0",)),
    ],
)
def test_the_devices_that_are_left(value: str, left: tuple[str, ...]) -> None:
    assert visible(value) == left


@given(st.text(max_size=30))
def test_no_list_is_too_odd(value: str) -> None:
    assert len(visible(value)) <= value.count(",") + 1


@given(st.lists(st.integers(0, 15), max_size=8))
def test_numbers_come_back_in_their_order(numbers: list[int]) -> None:
    assert visible(",".join(map(str, numbers))) == tuple(map(str, numbers))


def _case(
    *environments: dict[str, str],
    gpus: int = 2,
    backend: str = "nccl",
    error: str = "ncclInvalidUsage",
    hosts: tuple[str, ...] = ("h0",),
) -> Case:
    facts = tuple(
        HostFacts(host=host, fabric=Fabric(gpus=tuple(PciDevice(address=f"0000:{n:02x}:00.0") for n in range(gpus))))
        for host in hosts
    )
    ranks = tuple(
        RankRecord(
            slot=n, rank=n, world_size=len(environments), host=hosts[n % len(hosts)], pid=n + 1, backend=backend, environment={"RANK": str(n), **e},
            error=RankError(phase=Phase.FIRST_COLLECTIVE, kind="DistBackendError", message=error) if error else None,
        )
        for n, e in enumerate(environments)
    )  # fmt: skip
    return Case(
        origin=Origin.WORLD, world=World(size=len(ranks), backend=backend), hosts=facts, ranks=ranks, ended=Ended.FAILED
    )


def _causes(case: Case) -> dict[str, tuple[int, ...]]:
    return {d.cause: d.ranks for d in judge(case).diagnoses if d.confidence >= 0.9}


SHARED, BEYOND = "device-shared-by-ranks", "device-ordinal-out-of-range"


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ({"LOCAL_RANK": "0"}, {"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "0"}, {"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": "1"}, {"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": "1"}, True),
        ({"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": "0"}, {"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": "1"}, False),
        ({"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": "1,0"}, {"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, True),
        ({"LOCAL_RANK": "0", "NCCL_HOSTID": "a"}, {"LOCAL_RANK": "0", "NCCL_HOSTID": "b"}, False),
        (
            {"LOCAL_RANK": "0", "NCCL_MULTI_RANK_GPU_ENABLE": "1"},
            {"LOCAL_RANK": "0", "NCCL_MULTI_RANK_GPU_ENABLE": "1"},
            False,
        ),
        ({}, {}, True),
    ],
)
def test_two_ranks_of_a_host(first: dict[str, str], second: dict[str, str], shared: bool) -> None:
    found = _causes(_case(first, second))
    assert (SHARED in found) is shared
    assert not shared or found[SHARED] == (0, 1)


def test_the_same_number_on_two_hosts_is_another_gpu() -> None:
    assert SHARED not in _causes(_case({"LOCAL_RANK": "0"}, {"LOCAL_RANK": "0"}, hosts=("h0", "h1")))


def test_a_world_of_gloo_or_one_that_did_not_fail_is_left_in_peace() -> None:
    both = ({"LOCAL_RANK": "0"}, {"LOCAL_RANK": "0"})
    assert not taken(_case(*both, backend="gloo"))
    assert SHARED not in _causes(_case(*both, error=""))


@pytest.mark.parametrize(
    ("second", "beyond"),
    [
        ({"LOCAL_RANK": "2"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "1"}, True),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "0,5"}, True),  # this host has two
        ({"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": ""}, True),
    ],
)
def test_a_number_beyond_what_can_be_seen(second: dict[str, str], beyond: bool) -> None:
    found = _causes(_case({"LOCAL_RANK": "0"}, second, error="CUDA error"))
    assert (BEYOND in found) is beyond
    assert not beyond or found[BEYOND] == (1,)


def test_a_host_whose_gpus_are_not_known_is_judged_by_the_list_alone() -> None:
    assert BEYOND not in _causes(_case({"LOCAL_RANK": "9"}, gpus=0, error="CUDA error"))
    assert BEYOND in _causes(_case({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "3"}, gpus=0, error="CUDA error"))
