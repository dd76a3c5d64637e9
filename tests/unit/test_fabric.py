"""RDMA cards, read from trees like those of real machines, and what NCCL will probably make of them.

The values of ports, addresses and PCI devices are those that the named sources show; the numbers of PCI bridges between
them, which the sources leave out, are made up. A tree has the links of the real /sys: class to device, device to bus."""

import os
import struct
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.diagnose.build import report
from commcheck.diagnose.fabric import Distance, choice, distance, gid_index, level, nearest, usable
from commcheck.diagnose.fabric_ways import between_gpus, between_hosts
from commcheck.diagnose.match import judge, static_rules
from commcheck.model.case import Case, HostFacts, Limit, Origin
from commcheck.model.diagnosis import Diagnosis, Verdict
from commcheck.model.fabric import Fabric, Gid, RdmaPort
from commcheck.probe import pci
from commcheck.probe.fabric import fabric

MELLANOX, AMAZON, NVIDIA = "0x15b3", "0x1d0f", "0x10de"
NO_DEVICE_ACCESS = "no verbs"


class P(NamedTuple):
    """A port as sysfs writes it; `gids`: by index (address, kind, interface)."""

    state: str = "4: ACTIVE"
    phys: str = "5: LinkUp"
    rate: str = "400 Gb/sec (4X NDR)"
    layer: str = "InfiniBand"
    gids: tuple[tuple[int, str, str, str], ...] = ((0, "fe80:0000:0000:0000:5e7c:a700:03e1:a258", "IB/RoCE v1", ""),)
    table: int = 1


class C(NamedTuple):
    """A device: its bridges and address below its host bridge, and if it is a card, what it is called."""

    path: str
    name: str = ""
    ports: tuple[P, ...] = ()
    numa: int = 0
    vendor: str = MELLANOX
    kind: str = "0x020700"
    model: str = "MT4129"
    net: tuple[tuple[str, int], ...] = ()
    link: str = "32.0 GT/s PCIe x16"
    most: str = "32.0 GT/s PCIe x16"
    acs: int | None = None  # of the bridge right above it


def gpu(path: str, numa: int = 0) -> C:
    return C(path, numa=numa, vendor=NVIDIA, kind="0x030200")


def build(root: Path, devices: tuple[C, ...], *, verbs: bool = True, modules: tuple[str, ...] = ("nvidia_peermem",),
          driver: str = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.08") -> Fabric | None:  # fmt: skip
    def write(path: Path, text: str | bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else f"{text}\n".encode())

    bus = root / "sys/bus/pci/devices"
    bus.mkdir(parents=True)
    for device in devices:
        parts = device.path.split("/")
        place = root / "sys/devices"
        for at, part in enumerate(parts):
            place = place / part
            if at and not (bus / part).is_symlink():
                place.mkdir(parents=True, exist_ok=True)
                os.symlink(os.path.relpath(place, bus), bus / part)
                write(place / "class", "0x060400")
                write(place / "vendor", "0x1000")
                write(place / "config", _config(device.acs if at == len(parts) - 2 else None))
        speed, _, width = device.link.rpartition(" x")
        most, _, most_width = device.most.rpartition(" x")
        for name, text in {"vendor": device.vendor, "class": device.kind, "numa_node": str(device.numa), "current_link_speed": speed,
                           "current_link_width": width, "max_link_speed": most, "max_link_width": most_width}.items():  # fmt: skip
            write(place / name, text)
        for interface, mtu in device.net:
            (place / "net" / interface).mkdir(parents=True)
            write(root / "sys/class/net" / interface / "mtu", str(mtu))
            write(root / "sys/class/net" / interface / "flags", "0x1003")
        if device.name:
            _card(root, place, device, write)
    for module in modules:
        (root / "sys/module" / module).mkdir(parents=True)
    if driver:
        write(root / "proc/driver/nvidia/version", driver)
    if verbs:
        write(root / "dev/infiniband/uverbs0", "")
    return fabric(str(root))


def _card(root: Path, place: Path, device: C, write) -> None:
    own = place / "infiniband" / device.name
    own.mkdir(parents=True)
    classes = root / "sys/class/infiniband"
    classes.mkdir(parents=True, exist_ok=True)
    os.symlink(os.path.relpath(own, classes), classes / device.name)
    os.symlink("../..", own / "device")
    write(own / "hca_type", device.model)
    write(own / "fw_ver", "28.41.1000")
    for number, port in enumerate(device.ports, 1):
        base = own / "ports" / str(number)
        for name, text in {
            "state": port.state,
            "phys_state": port.phys,
            "rate": port.rate,
            "link_layer": port.layer,
            "lid": "0x3db",
        }.items():
            write(base / name, text)
        known = {index: rest for index, *rest in port.gids}
        for index in range(port.table):
            address, kind, interface = known.get(index, ("0000:0000:0000:0000:0000:0000:0000:0000", "", ""))
            write(base / "gids" / str(index), address)
            if kind:
                write(base / "gid_attrs/types" / str(index), kind)
                write(base / "gid_attrs/ndevs" / str(index), interface)


def _config(acs: int | None) -> bytes:
    """A configuration space with an advanced error capability at 0x100 and, behind it, access control."""
    config = bytearray(4096)
    struct.pack_into("<I", config, 0x100, 0x0001 | 1 << 16 | (0x148 if acs is not None else 0) << 20)
    if acs is not None:
        struct.pack_into("<IHH", config, 0x148, 0x000D | 1 << 16, 0x005F, acs)
    return bytes(config)


def _roce(
    mac: str, ipv4: str, interface: str, *, first: int = 0, table: int = 4, rate: str = "200 Gb/sec (4X HDR)"
) -> P:
    local = f"fe80:0000:0000:0000:{mac}"
    mapped = "0000:0000:0000:0000:0000:ffff:" + ":".join(
        f"{int(a):02x}{int(b):02x}" for a, b in [ipv4.split(".")[:2], ipv4.split(".")[2:]]
    )
    gids = ((local, "IB/RoCE v1"), (local, "RoCE v2"), (mapped, "IB/RoCE v1"), (mapped, "RoCE v2"))
    return P(
        rate=rate,
        layer="Ethernet",
        gids=tuple((first + i, a, kind, interface) for i, (a, kind) in enumerate(gids)),
        table=table,
    )


# --- machines ---------------------------------------------------------------------------------------------------

# github.com/NVIDIA/nccl issue 1505: a DGX A100's topology dump (two GPUs and two cards below one switch, each pair below a
# switch of its own; a card with two ports, 200 and 100 Gb/s, on the processor itself).
DGX_A100 = (
    gpu("pci0000:00/0000:00:01.1/0000:01:00.0/0000:02:00.0/0000:03:00.0/0000:04:10.0/0000:07:00.0", 3),
    C("pci0000:00/0000:00:01.1/0000:01:00.0/0000:02:04.0/0000:0a:00.0/0000:0b:00.0/0000:0c:00.0", "mlx5_0",
      (P(rate="200 Gb/sec (4X HDR)"),), 3, model="MT4123"),
    C("pci0000:60/0000:60:01.1/0000:61:00.0", "mlx5_4", (P(rate="200 Gb/sec (4X HDR)"), P(rate="100 Gb/sec (2X HDR)")), 0, model="MT4123"),
)  # fmt: skip
# github.com/aliyun/SimAI issue 128 (PCI tree of an HGX H100: GPU and card below one switch); ports as recorded from sysfs in
# github.com/leptonai/gpud, components/accelerator/nvidia/infiniband/class/testdata/sys-class-infiniband-h100.0.
HGX_H100 = (
    gpu("pci0000:d6/0000:d6:01.0/0000:d7:00.0/0000:d8:00.0/0000:d9:00.0", 1),
    C("pci0000:d6/0000:d6:01.0/0000:d7:00.0/0000:d8:01.0/0000:da:00.0", "mlx5_5", (P(),), 1),
    gpu("pci0000:b5/0000:b5:01.0/0000:b6:00.0/0000:b7:00.0/0000:b8:00.0", 1),
    C("pci0000:b5/0000:b5:01.0/0000:b6:00.0/0000:b7:01.0/0000:b9:00.0", "mlx5_4", (P(),), 1),
    C("pci0000:40/0000:40:01.0/0000:41:00.0", "mlx5_bond_0",
      (_roce("5aa2:e1ff:feda:e626", "10.0.12.7", "bond0", rate="200 Gb/sec (2X NDR)"),), 0, model="MT41692", net=(("bond0", 9000),)),
)  # fmt: skip
# github.com/NVIDIA/nccl issue 1131: show_gids of a box with RoCE cards.
ROCE = (
    gpu("pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0"),
    C("pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:04:00.0", "mlx5_0", (_roce("a288:c2ff:fe5b:03ec", "11.0.0.72", "ens3np0"),),
      net=(("ens3np0", 9000),)),
    C("pci0000:00/0000:00:02.0/0000:05:00.0", "mlx5_1", (_roce("a288:c2ff:fe5b:0374", "11.0.0.73", "ens2np0"),), net=(("ens2np0", 9000),)),
)  # fmt: skip
# github.com/NVIDIA/nccl issue 1573: a pod whose macvlan interfaces have the places 4 to 7 of each card's table.
POD = (
    C("pci0000:00/0000:00:01.0/0000:01:00.0", "mlx5_0", (_roce("a4ed:ccff:fe8b:1994", "10.152.0.12", "net1", first=4, table=16),),
      net=(("net1", 9000),)),
    C("pci0000:00/0000:00:02.0/0000:02:00.0", "mlx5_1", (_roce("9459:9bff:fe54:7704", "10.152.4.12", "net2", first=4, table=16),),
      net=(("net2", 9000),)),
)  # fmt: skip
# github.com/imbue-ai/cluster-health issue 4: InfiniBand cards beside an Ethernet card of which one port is cabled.
MIXED = (
    gpu("pci0000:1a/0000:1a:01.0/0000:1b:00.0/0000:1c:00.0/0000:1d:00.0"),
    C("pci0000:1a/0000:1a:01.0/0000:1b:00.0/0000:1c:01.0/0000:1e:00.0", "mlx5_0", (P(),)),
    C("pci0000:1a/0000:1a:02.0/0000:1f:00.0", "mlx5_1", (_roce("a088:c2ff:fe30:9a0c", "10.1.0.9", "enp27s0f0np0", rate="100 Gb/sec (2X HDR)"),),
      model="MT4125", net=(("enp27s0f0np0", 9000),)),
    C("pci0000:1a/0000:1a:02.0/0000:1f:00.1", "mlx5_2", (P("1: DOWN", "3: Disabled", "40 Gb/sec (4X QDR)", "Ethernet", (), 4),), model="MT4125"),
)  # fmt: skip
# github.com/NVIDIA/nccl issue 1935 (DOWN/Disabled at 10 Gb/sec), github.com/leptonai/gpud pull request 482 (Polling).
DOWN = (
    gpu("pci0000:00/0000:00:01.0/0000:01:00.0"),
    C("pci0000:00/0000:00:02.0/0000:02:00.0", "mlx5_3", (P("1: DOWN", "3: Disabled", "10 Gb/sec (4X SDR)"),)),
    C("pci0000:00/0000:00:03.0/0000:03:00.0", "mlx5_10", (P("1: DOWN", "2: Polling", "10 Gb/sec (4X SDR)"),)),
)  # fmt: skip
# github.com/aws/aws-ofi-nccl, topology/p4d-24xl-topo.xml: what the virtual machine shows is flat, the file tells the switches.
P4D = (
    gpu("pci0000:10/0000:10:1c.0"),
    C("pci0000:10/0000:10:1b.0", "rdmap16s27", (P(rate="100 Gb/sec (4X EDR)", layer="Unspecified"),), vendor=AMAZON, kind="0x020000",
      model="EFA"),
)  # fmt: skip
# github.com/Azure/azhpc-images, topology/ndv5-topo.xml: each device in a PCI domain of its own.
ND_H100 = (
    gpu("pci0001:00/0001:00:00.0"),
    C("pci0101:00/0101:00:00.0", "mlx5_ib0", (P(),)),
)  # fmt: skip
GCP_A2 = (gpu("pci0000:00/0000:00:04.0"), gpu("pci0000:00/0000:00:05.0"))  # sockets over gve alone
MACHINES = {"DGX A100": DGX_A100, "HGX H100": HGX_H100, "RoCE": ROCE, "pod": POD, "mixed": MIXED, "AWS p4d": P4D, "Azure ND": ND_H100,
            "GCP a2": GCP_A2}  # fmt: skip


def judged(found: Fabric | None, memlock: int = -1, **environment: str) -> tuple[Verdict, dict[str, Diagnosis]]:
    case = Case(origin=Origin.STATIC, environment=environment,
                hosts=(HostFacts(host="here", fabric=found, limits=(Limit(name="memlock", soft=memlock, hard=memlock),)),))  # fmt: skip
    judgement = judge(case, static_rules())
    assert not any("crashed" in text for text in judgement.not_evaluated), judgement.not_evaluated
    return judgement.verdict, {d.cause: d for d in judgement.diagnoses}


# --- reading ----------------------------------------------------------------------------------------------------


def test_a_host_without_cards_and_gpus_has_none(tmp_path: Path) -> None:
    assert fabric(str(tmp_path)) is None


def test_this_machine_can_be_read() -> None:
    found = fabric()
    assert found is None or isinstance(found, Fabric)


def test_what_is_read_is_what_the_tree_shows(tmp_path: Path) -> None:
    found = build(tmp_path, HGX_H100)
    assert found is not None
    assert [card.name for card in found.cards] == ["mlx5_4", "mlx5_5", "mlx5_bond_0"]
    ndr, bond = found.cards[1], found.cards[2]
    assert (ndr.model, ndr.firmware, ndr.vendor) == ("MT4129", "28.41.1000", MELLANOX)
    assert (ndr.ports[0].state, ndr.ports[0].physical, ndr.ports[0].rate, ndr.ports[0].lid) == (
        "ACTIVE",
        "LinkUp",
        400.0,
        987,
    )
    assert ndr.pci is not None
    assert (ndr.pci.address, ndr.pci.numa, ndr.pci.speed, ndr.pci.width) == ("0000:da:00.0", 1, 32.0, 16)
    assert [(g.index, g.ipv4, g.version, g.interface) for g in bond.ports[0].gids][3] == (3, "10.0.12.7", 2, "bond0")
    assert [(i.name, i.mtu, i.up) for i in bond.interfaces] == [("bond0", 9000, True)]
    assert [g.address for g in found.gpus] == ["0000:b8:00.0", "0000:d9:00.0"]
    assert (found.peer_memory, found.verbs, found.open_driver, found.redirecting) == ("nvidia_peermem", True, False, ())


def test_cards_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    found = build(tmp_path, tuple(C(f"pci0000:00/0000:00:{n:02x}.0", f"mlx5_{n}", (P(),)) for n in (10, 2, 1)))
    assert found is not None
    assert [card.name for card in found.cards] == ["mlx5_1", "mlx5_2", "mlx5_10"]


@given(st.binary(max_size=700))
def test_no_configuration_space_is_too_odd(config: bytes) -> None:
    assert 0 <= pci.access_control(config) <= 0xFFFF


def test_facts_of_earlier_releases_are_read_and_new_ones_come_back(tmp_path: Path) -> None:
    import msgspec

    assert msgspec.json.decode(b'{"host": "h0", "shm_bytes": 1}', type=HostFacts).fabric is None
    facts = HostFacts(host="h0", fabric=build(tmp_path, ROCE))
    assert msgspec.json.decode(msgspec.json.encode(facts), type=HostFacts) == facts


def test_half_a_tree_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "sys/class/infiniband/mlx5_0/ports/1").mkdir(parents=True)
    (tmp_path / "sys/class/infiniband/mlx5_0/ports/1/state").write_text("nonsense")
    found = fabric(str(tmp_path))
    assert found is not None
    assert found.cards[0].ports == (RdmaPort(number=1, state="nonsense"),)
    judged(found, NCCL_IB_HCA="mlx5", NCCL_NET="IB")


# --- NCCL_IB_HCA and the address --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("", "mlx5_1:1 mlx5_10:1 mlx5_10:2"),
        ("mlx5_1", "mlx5_1:1 mlx5_10:1 mlx5_10:2"),
        ("=mlx5_1", "mlx5_1:1"),
        ("=mlx5_10:2", "mlx5_10:2"),
        ("mlx5_10:2,mlx5_1:1", "mlx5_1:1 mlx5_10:1 mlx5_10:2"),  # mlx5_1:1 is a prefix of mlx5_10, port 1
        ("^mlx5_10", "mlx5_1:1"),
        ("^=mlx5_1", "mlx5_10:1 mlx5_10:2"),
        ("=^mlx5_1", ""),  # a name that begins with ^: the order matters
        ("mlx4", ""),
        ("^", ""),
        (",,", "mlx5_1:1 mlx5_10:1 mlx5_10:2"),
        ("mlx5_1:x", ""),  # C reads 0
    ],
)
def test_hca_lists(value: str, taken: str) -> None:
    there = [("mlx5_1", 1), ("mlx5_10", 1), ("mlx5_10", 2)]
    wanted = choice(value)
    assert " ".join(f"{name}:{port}" for name, port in there if wanted.takes(name, port)) == taken


@given(st.text("^=m5_1,:0", max_size=12), st.sampled_from(["m5", "m5_1", "m5_10"]), st.integers(1, 2))
def test_what_is_excluded_is_what_would_have_been_taken(value: str, name: str, port: int) -> None:
    if not value.startswith("^"):
        assert choice(value).takes(name, port) != choice(f"^{value}").takes(name, port)


def _gids(*rows: tuple[int, str, str], table: int) -> RdmaPort:
    return RdmaPort(
        number=1,
        state="ACTIVE",
        layer="Ethernet",
        table=table,
        gids=tuple(Gid(index=i, address=a, kind=k) for i, a, k in rows),
    )


LOCAL, FOUR, SIX = (
    "fe80:0000:0000:0000:a4ed:ccff:fe8b:1994",
    "0000:0000:0000:0000:0000:ffff:0a98:000c",
    "2001:0db8:0000:0000:0000:0000:0000:0001",
)


@pytest.mark.parametrize(
    ("port", "environment", "index"),
    [
        (
            _gids(
                (0, LOCAL, "IB/RoCE v1"), (1, LOCAL, "RoCE v2"), (2, FOUR, "IB/RoCE v1"), (3, FOUR, "RoCE v2"), table=4
            ),
            {},
            3,
        ),
        (
            _gids(
                (4, LOCAL, "IB/RoCE v1"), (5, LOCAL, "RoCE v2"), (6, FOUR, "IB/RoCE v1"), (7, FOUR, "RoCE v2"), table=16
            ),
            {},
            7,
        ),
        (
            _gids((0, LOCAL, "IB/RoCE v1"), (2, FOUR, "IB/RoCE v1"), (3, FOUR, "RoCE v2"), table=4),
            {"NCCL_IB_ROCE_VERSION_NUM": "1"},
            2,
        ),
        (_gids((0, FOUR, "RoCE v2"), (1, SIX, "RoCE v2"), table=2), {"NCCL_IB_ADDR_FAMILY": "AF_INET6"}, 1),
        (_gids((0, LOCAL, "IB/RoCE v1"), table=4), {}, 0),
        (_gids((0, LOCAL, "IB/RoCE v1"), table=4), {"NCCL_IB_GID_INDEX": "9"}, 9),
        (_gids(table=4), {}, 0),
    ],
)
def test_the_address_that_is_chosen(port: RdmaPort, environment: dict[str, str], index: int) -> None:
    assert gid_index(port, environment) == index


# --- distances --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "expected"),
    [(DGX_A100, ("mlx5_0", Distance.PXB)), (HGX_H100, ("mlx5_4", Distance.PIX)), (ROCE, ("mlx5_0", Distance.PIX)), (MIXED, ("mlx5_0", Distance.PIX)),
     (ND_H100, ("mlx5_ib0", Distance.PHB))],
)  # fmt: skip
def test_the_nearest_card(tmp_path: Path, machine, expected) -> None:
    found = build(tmp_path, machine)
    assert found is not None
    near = nearest(found.gpus[0], found.cards)
    assert near is not None
    assert (near[0].name, near[1]) == expected


def test_distances_over_the_processor_and_beyond(tmp_path: Path) -> None:
    found = build(tmp_path, (gpu("pci0000:00/0000:00:01.0/0000:01:00.0", 0), gpu("pci0000:40/0000:40:01.0/0000:41:00.0", 0),
                             gpu("pci0000:80/0000:80:01.0/0000:81:00.0", 1)))  # fmt: skip
    assert found is not None
    a, b, c = found.gpus
    assert (distance(a, a), distance(a, b), distance(a, c)) == (Distance.LOC, Distance.PHB, Distance.SYS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("PIX", Distance.PIX),
        ("phb", Distance.PHB),
        ("0", Distance.LOC),
        ("2", Distance.PXB),
        ("5", Distance.SYS),
        ("nonsense", Distance.PXB),
        ("", Distance.PXB),
    ],
)
def test_levels(value: str, expected: Distance) -> None:
    assert level({"NCCL_NET_GDR_LEVEL": value}, "NCCL_NET_GDR_LEVEL", Distance.PXB) is expected


# --- which way --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "transport"),
    [
        ("DGX A100", "NET/IB with GPU Direct RDMA over mlx5_0:1, mlx5_4:1, mlx5_4:2 (IB)"),
        ("HGX H100", "NET/IB with GPU Direct RDMA over mlx5_4:1, mlx5_5:1, mlx5_bond_0:1 (IB/RoCE)"),
        ("RoCE", "NET/IB with GPU Direct RDMA over mlx5_0:1, mlx5_1:1 (RoCE)"),
        ("pod", "NET/IB over mlx5_0:1, mlx5_1:1 (RoCE)"),
        ("AWS p4d", "the plug-in AWS Libfabric, if it is installed"),
        ("Azure ND", "NET/IB over mlx5_ib0:1 (IB)"),
        ("GCP a2", "NET/Socket"),
    ],
)
def test_between_hosts(tmp_path: Path, machine: str, transport: str) -> None:
    found = build(tmp_path, MACHINES[machine])
    assert found is not None
    way = between_hosts(found, {})
    assert way.transport == transport
    assert way.sentence.startswith("NCCL will probably use ")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"NCCL_IB_DISABLE": "1"}, "NCCL_IB_DISABLE=1 turns 2 RDMA cards off"),
        ({"NCCL_IB_HCA": "mlx4"}, "NCCL_IB_HCA=mlx4 names none of the active ports mlx5_0:1, mlx5_1:1"),
        ({"NCCL_NET": "Socket"}, "NCCL_NET=Socket asks for it"),
    ],
)
def test_why_sockets(tmp_path: Path, environment: dict[str, str], reason: str) -> None:
    found = build(tmp_path, ROCE)
    assert found is not None
    way = between_hosts(found, environment)
    assert (way.transport, way.why_not) == ("NET/Socket", (reason,))


def test_between_gpus(tmp_path: Path) -> None:
    found = build(tmp_path, HGX_H100)
    assert found is not None
    far = between_gpus(found, {})
    assert far is not None
    assert (far.transport, "PHB apart" in far.why_not[0]) == ("SHM", True)
    assert between_gpus(found, {"NCCL_P2P_LEVEL": "SYS"}).transport == "P2P"
    assert between_gpus(found, {"NCCL_P2P_LEVEL": "SYS", "NCCL_P2P_DISABLE": "1"}).transport == "SHM"
    assert "network" in between_gpus(found, {"NCCL_P2P_DISABLE": "1", "NCCL_SHM_DISABLE": "1"}).transport


def test_lint_tells_the_ways(tmp_path: Path) -> None:
    case = Case(origin=Origin.STATIC, hosts=(HostFacts(host="here", fabric=build(tmp_path, ROCE)),))
    notes = report(case, judge(case, static_rules()), command=("commcheck", "lint"), seconds=0.1).notes
    assert any("NCCL will probably use NET/IB" in note for note in notes)
    assert "RoCE addresses: mlx5_0:1 11.0.0.72 (RoCE v2, index 3), mlx5_1:1 11.0.0.73 (RoCE v2, index 3)" in notes


# --- what is wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_that_is_well_has_no_fault(tmp_path: Path, machine: str) -> None:
    verdict, found = judged(build(tmp_path, MACHINES[machine]))
    assert verdict is Verdict.HEALTHY
    assert all(d.confidence < 0.5 for d in found.values()), found


@pytest.mark.parametrize("machine", ["DGX A100", "HGX H100", "RoCE"])
def test_a_machine_that_is_well_is_left_in_peace(tmp_path: Path, machine: str) -> None:
    assert not judged(build(tmp_path, MACHINES[machine]))[1]


FALLBACK, UNAVAILABLE = "transport-fallback", "transport-unavailable"


@pytest.mark.parametrize(
    ("machine", "environment", "cause", "least", "says"),
    [
        (HGX_H100, {"NCCL_IB_HCA": "mlx4"}, FALLBACK, 0.6, "NCCL_IB_HCA=mlx4 leaves none of this host's ports"),
        (HGX_H100, {"NCCL_IB_HCA": "=mlx5"}, FALLBACK, 0.6, "leaves none"),
        (HGX_H100, {"NCCL_IB_HCA": "mlx5_4:2"}, FALLBACK, 0.6, "leaves none"),
        (HGX_H100, {"NCCL_IB_HCA": "^mlx5"}, FALLBACK, 0.6, "leaves none"),
        (HGX_H100, {"NCCL_IB_HCA": "mlx5_4,mlx5_99"}, FALLBACK, 0.4, "mlx5_99, which is no card or port of this host"),
        (MIXED, {"NCCL_IB_HCA": "=mlx5_2"}, FALLBACK, 0.6, "names ports that are not active (mlx5_2:1)"),
        (MIXED, {"NCCL_IB_HCA": "mlx5_0,mlx5_2"}, FALLBACK, 0.4, "mlx5_2, which is not active"),
        (HGX_H100, {"NCCL_IB_DISABLE": "1"}, FALLBACK, 0.4, "NCCL_IB_DISABLE=1 switches off"),
        (DOWN, {}, FALLBACK, 0.4, "no RDMA port of this host is active (DOWN/Disabled; DOWN/Polling)"),
        (HGX_H100, {"NCCL_NET_GDR_LEVEL": "LOC"}, FALLBACK, 0.4, "NCCL_NET_GDR_LEVEL=LOC keeps cards from reading GPU memory"),
        (ND_H100, {}, FALLBACK, 0.3, "hides its PCI tree"),
        (DOWN, {"NCCL_NET": "IB"}, UNAVAILABLE, 0.8, "NCCL_NET=IB asks for InfiniBand or RoCE, and none of"),
        (HGX_H100, {"NCCL_NET": "ib", "NCCL_IB_HCA": "mlx4"}, UNAVAILABLE, 0.8, "none of"),
        (GCP_A2, {"NCCL_NET": "IB"}, UNAVAILABLE, 0.55, "this host has no RDMA card"),
        (ROCE, {"NCCL_IB_GID_INDEX": "9"}, UNAVAILABLE, 0.8, "beyond the 4 addresses of mlx5_0:1"),
        (ROCE, {"NCCL_IB_GID_INDEX": "1"}, UNAVAILABLE, 0.6, "is a link-local address"),
        (ROCE, {"NCCL_IB_GID_INDEX": "2"}, UNAVAILABLE, 0.4, "RoCE v1"),
        (POD, {"NCCL_IB_GID_INDEX": "3"}, UNAVAILABLE, 0.8, "is an empty place"),
    ],
)  # fmt: skip
def test_settings_against_cards(tmp_path: Path, machine, environment, cause: str, least: float, says: str) -> None:
    verdict, found = judged(build(tmp_path, machine), **environment)
    assert cause in found, found
    assert says in found[cause].title or any(says in e.text for e in found[cause].evidence)
    assert found[cause].confidence >= least
    assert found[cause].fixes
    assert (verdict is Verdict.UNHEALTHY) == (max(d.confidence for d in found.values()) >= 0.5)


@pytest.mark.parametrize("index", ["3", "0x3"])
def test_an_address_that_is_right_is_left_in_peace(tmp_path: Path, index: str) -> None:
    assert not judged(build(tmp_path, ROCE), NCCL_IB_GID_INDEX=index)[1]


def test_an_address_is_of_no_matter_to_infiniband(tmp_path: Path) -> None:
    assert not judged(build(tmp_path, DGX_A100), NCCL_IB_GID_INDEX="77")[1]


def test_a_container_without_the_device_files(tmp_path: Path) -> None:
    _, found = judged(build(tmp_path, HGX_H100, verbs=False))
    assert found[FALLBACK].confidence >= 0.6
    assert "/dev/infiniband" in found[FALLBACK].title


def test_no_way_into_gpu_memory(tmp_path: Path) -> None:
    _, found = judged(build(tmp_path, HGX_H100, modules=()))
    assert "nvidia_peermem is not loaded" in found[FALLBACK].title
    assert found[FALLBACK].confidence < 0.5
    opened = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15"
    assert not judged(build(tmp_path / "open", HGX_H100, modules=(), driver=opened))[1]


def test_a_port_that_came_up_slow(tmp_path: Path) -> None:
    slow = (*HGX_H100[:3], HGX_H100[3]._replace(ports=(P(rate="100 Gb/sec (4X EDR)"),)))
    _, found = judged(build(tmp_path, slow))
    assert "mlx5_4:1 runs at 100 Gb/s, its like at 400" in found[FALLBACK].title


def test_a_card_in_a_narrow_slot(tmp_path: Path) -> None:
    narrow = (HGX_H100[0], HGX_H100[1]._replace(link="32.0 GT/s PCIe x8"))
    _, found = judged(build(tmp_path, narrow))
    assert "more slowly than it could be (32 GT/s x8 of 32 GT/s x16)" in found[FALLBACK].title


def test_a_port_without_a_subnet_manager(tmp_path: Path) -> None:
    waiting = (*HGX_H100[:3], HGX_H100[3]._replace(ports=(P("2: INIT"),)))
    _, found = judged(build(tmp_path, waiting))
    assert "mlx5_4:1 waits for a subnet manager" in found[FALLBACK].title


@pytest.mark.parametrize(("acs", "on"), [(0x001D, True), (0x0004, True), (0x0000, False), (None, False)])
def test_access_control(tmp_path: Path, acs: int | None, on: bool) -> None:
    found = build(tmp_path, (HGX_H100[0]._replace(acs=acs), HGX_H100[1]))
    assert found is not None
    assert bool(found.redirecting) is on
    assert (FALLBACK in judged(found)[1]) is on


def test_small_or_unlike_mtus(tmp_path: Path) -> None:
    small = tuple(c._replace(net=tuple((name, 1500) for name, _ in c.net)) for c in ROCE)
    assert "an MTU of 1500 bytes" in judged(build(tmp_path / "small", small))[1][FALLBACK].title
    unlike = (*ROCE[:2], ROCE[2]._replace(net=(("ens2np0", 1500),)))
    assert "MTUs of 1500, 9000 bytes" in judged(build(tmp_path / "unlike", unlike))[1][FALLBACK].title


def test_too_little_locked_memory(tmp_path: Path) -> None:
    _, found = judged(build(tmp_path, HGX_H100), memlock=8 << 20)
    assert "memlock-limit" in found


def test_a_world_of_gloo_is_not_asked(tmp_path: Path) -> None:
    from commcheck.model.case import RankRecord, World

    facts = HostFacts(host="here", fabric=build(tmp_path, ROCE))
    rank = RankRecord(slot=0, rank=0, world_size=1, host="here", environment={"NCCL_IB_GID_INDEX": "9"}, pid=1)
    for backend, asked in (("gloo", False), ("nccl", True)):
        case = Case(origin=Origin.WORLD, hosts=(facts,), ranks=(rank,), world=World(size=1, backend=backend))
        assert (UNAVAILABLE in {d.cause for d in judge(case).diagnoses}) is asked


@given(st.dictionaries(st.sampled_from(["NCCL_IB_HCA", "NCCL_IB_GID_INDEX", "NCCL_NET", "NCCL_NET_GDR_LEVEL", "NCCL_P2P_LEVEL", "NCCL_IB_DISABLE"]),
                       st.text(max_size=12)))  # fmt: skip
def test_no_setting_is_too_odd(environment: dict[str, str]) -> None:
    found = TREES["RoCE"]
    judged(found, **environment)
    assert found is not None
    usable(found, environment)
    between_hosts(found, environment)


@pytest.fixture(autouse=True, scope="module")
def _trees(tmp_path_factory):
    TREES["RoCE"] = build(tmp_path_factory.mktemp("roce"), ROCE)


TREES: dict[str, Fabric | None] = {}
