"""Which GPU each rank takes, by LOCAL_RANK and CUDA_VISIBLE_DEVICES, and what is wrong with that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose import visible
from commcheck.diagnose.devices import taken
from commcheck.diagnose.fabric_ways import between_gpus
from commcheck.diagnose.match import FLAGGED, judge, static_rules
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
        # docs.nvidia.com, MIG user guide, and torch/cuda/__init__.py: of several instances the first alone
        ("MIG-2ad0c5e7,MIG-99", ("MIG-2ad0c5e7",)),
        ("MIG-GPU-8932f937-d72c/1/2", ("MIG-GPU-8932f937-d72c/1/2",)),
        ("MIG-GPU-8932f937-d72c/1/0,MIG-GPU-8932f937-d72c/2/0", ("MIG-GPU-8932f937-d72c/1/0",)),
        # what is of another kind than the first ends the list
        ("0,GPU-8932f937", ("0",)),
        ("GPU-8932f937,0", ("GPU-8932f937",)),
        ("GPU-8932f937,MIG-2ad0c5e7,GPU-5e1", ("GPU-8932f937",)),
        ("MIG-2ad0c5e7,GPU-8932f937", ("MIG-2ad0c5e7",)),
        # what stands there twice leaves nothing
        ("0,0", ()),
        ("1,2,01", ()),
        ("GPU-8932f937,GPU-8932f937", ()),
        ("GPU-8932f937-d72c,GPU-8932", ()),
        ("MIG-2ad0c5e7,MIG-2ad0c5e7", ()),
        ("0,-1,0", ("0",)),
        # a number is what the entry begins with
        ("1gpu2,2ampere", ("1", "2")),
        ("+1", ("1",)),
        ("0;1", ("0",)),
        ("0 1", ("0",)),
        ("cuda:0", ()),
        ("all", ()),
        ("NoDevFiles", ()),
    ],
)
def test_the_devices_that_are_left(value: str, left: tuple[str, ...]) -> None:
    assert visible.read(value).devices == left


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0,0", "a list in which every GPU stands once (for the sake of the second 0 CUDA shows none at all)"),
        ("0;1", "of '0;1' CUDA reads the number that it begins with"),
        ("0, GPU-12", "CUDA stops at 'GPU-12': it shows only 0"),
        ("cuda:0", "CUDA stops at 'cuda:0': it shows no GPU"),
        ("2,,1", "CUDA stops at an empty entry: it shows only 2"),
        ("MIG-1,MIG-2,MIG-3", "one MIG instance (of 3 a process sees the first alone, with CUDA 11 and 12)"),
        *(
            (fine, "")
            for fine in (
                "",
                "-1",
                "0,1",
                "3",
                "0,-1,1",
                "NoDevFiles",
                "none",
                "GPU-12,GPU-34",
                "MIG-12",
                "0,1,",
                " 1 , 0 ",
            )
        ),
    ],
)
def test_what_a_list_ought_to_be(value: str, says: str) -> None:
    assert says in visible.expectation(value)
    assert bool(says) == bool(visible.expectation(value))


HEX = st.text("0123456789abcdef", min_size=8, max_size=8)
NAMES = {
    "number": st.integers(0, 31).map(str),
    "gpu": HEX.map("GPU-{}".format),
    "mig": HEX.map("MIG-{}".format),
    "old mig": st.builds("MIG-GPU-{}/{}/{}".format, HEX, st.integers(0, 13), st.integers(0, 6)),
    "none": st.sampled_from(["", "-1", "x", "cuda:0", "-GPU", "gpu0", "NoDevFiles"]),
}


def _torch(value: str) -> list[str]:
    """torch/cuda/__init__.py, _parse_visible_devices, in other words; MIG instances as many as stand there."""
    prefix = value[:4] if value[:4] in ("GPU-", "MIG-") else ""
    found: list[str] = []
    for entry in value.split(","):
        if prefix:
            name = entry if entry.startswith(prefix) else None
        else:
            digits = ""
            for c in entry.strip():
                if not c.isdecimal():
                    break
                digits += c
            name = str(int(digits)) if digits else None
        if name is not None and name in found:
            return []
        if name is None:
            return found
        found.append(name)
    return found


@given(st.lists(st.one_of(*NAMES.values()), max_size=6).map(",".join))
def test_a_list_is_read_as_torch_reads_it(value: str) -> None:
    theirs, ours = _torch(value), visible.read(value)
    # A shortened name that begins another one is for torch a matter of what GPUs there are.
    assert list(ours.devices) == (theirs[:1] if value.startswith("MIG-") else theirs)
    assert ours.more == max(0, len(theirs) - 1) * value.startswith("MIG-")
    if ours.cut is not None:
        before = len(ours.devices) + ours.more
        assert value.split(",")[before] == ours.cut
        assert before + 1 + ours.behind == len(value.split(","))


@given(st.text(max_size=30))
def test_no_list_is_too_odd(value: str) -> None:
    assert len(visible.read(value).devices) <= value.count(",") + 1
    visible.expectation(value)


@given(st.lists(st.integers(0, 15), max_size=8, unique=True))
def test_numbers_come_back_in_their_order(numbers: list[int]) -> None:
    assert visible.read(",".join(map(str, numbers))).devices == tuple(map(str, numbers))


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
        ({"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": "0"}, {"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": "GPU-1"}, False),
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


@pytest.mark.parametrize(
    ("first", "second", "gpus", "shared"),
    [
        ("MIG-1", "MIG-1", 2, True),
        ("MIG-1", "MIG-2", 2, False),  # of which GPUs these are parts cannot be known
        ("MIG-1", "MIG-2", 1, True),
        ("MIG-GPU-8932-1/1/0", "MIG-GPU-8932-1/2/0", 2, True),
        ("MIG-GPU-8932-1/1/0", "MIG-GPU-8932-2/1/0", 2, False),
        ("MIG-1,MIG-2", "MIG-1,MIG-3", 2, True),
        ("GPU-8932f937-d72c", "GPU-8932f937", 2, True),
        ("GPU-8932f937", "GPU-5e1", 2, False),
    ],
)
def test_slices_and_names(first: str, second: str, gpus: int, shared: bool) -> None:
    case = _case(*({"LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": v} for v in (first, second)), gpus=gpus)
    assert (SHARED in _causes(case)) is shared
    if shared and "MIG" in first and first.split(",", 1)[0] != second.split(",", 1)[0]:
        (found,) = (d for d in judge(case).diagnoses if d.cause == SHARED)
        assert found.title == f"Ranks 0, 1 take MIG instances of one GPU ({first}, {second})"
        assert "NCCL_MULTI_RANK_GPU_ENABLE" in found.fixes[0].text


def test_between_slices_there_is_shared_memory_alone() -> None:
    two = Fabric(gpus=tuple(PciDevice(address=f"0000:{n:02x}:00.0") for n in range(2)))
    way = between_gpus(two, {"CUDA_VISIBLE_DEVICES": "MIG-1"})
    assert way is not None
    assert way.sentence == (
        "NCCL will probably use SHM between MIG instances of this host (there is no P2P between MIG instances)"
    )
    off = between_gpus(two, {"CUDA_VISIBLE_DEVICES": "MIG-1", "NCCL_SHM_DISABLE": "1"})
    assert off is not None
    assert off.transport.startswith("the network")


@pytest.mark.parametrize(
    ("value", "gpus", "flagged"), [("0,0", 2, True), ("0,0", 0, False), ("cuda:1", 2, True), ("0;1", 2, False)]
)
def test_lint_flags_a_list_that_hides_all_gpus_where_there_are_any(value: str, gpus: int, flagged: bool) -> None:
    facts = HostFacts(
        host="h0", fabric=Fabric(gpus=tuple(PciDevice(address=f"0000:{n:02x}:00.0") for n in range(gpus)))
    )
    case = Case(origin=Origin.STATIC, hosts=(facts,), environment={"CUDA_VISIBLE_DEVICES": value})
    (found,) = judge(case, static_rules()).diagnoses
    assert found.cause == "env-malformed"
    assert (found.confidence >= FLAGGED) is flagged


def test_of_several_slices_a_process_sees_one() -> None:
    slices = {"CUDA_VISIBLE_DEVICES": "MIG-1,MIG-2"}
    case = _case(
        {"LOCAL_RANK": "0", **slices}, {"LOCAL_RANK": "1", **slices}, error="CUDA error: invalid device ordinal"
    )
    found = next(d for d in judge(case).diagnoses if d.cause == BEYOND)
    assert found.ranks == (1,)
    assert any("of 2 MIG instances" in e.text for e in found.evidence)


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
