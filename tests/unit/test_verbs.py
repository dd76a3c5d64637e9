"""The output of the verbs tools: read into the same model as /sys, by the same rules.

The texts are written here after the tools' sources: infiniband-diags/ibstat.c and libibverbs/examples/devinfo.c of rdma-core,
ibdev2netdev and show_gids of mlnx-tools."""

import ipaddress
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.diagnose.ingest.verbs import TABLE, completed, merged, read
from commcheck.diagnose.match import judge
from commcheck.model.case import Case, HostFacts, Origin
from commcheck.model.fabric import Fabric, Gid, NetDevice, PciDevice, RdmaCard, RdmaPort

IBSTAT_STATES = {"ACTIVE": "Active", "INIT": "Initializing", "ARMED": "Armed", "DOWN": "Down"}
DEVINFO_PHYSICAL = {"LinkUp": "LINK_UP (5)", "Polling": "POLLING (2)", "Disabled": "DISABLED (3)", "Sleep": "SLEEP (1)"}
RATES = {10: ("4X (2)", "2.5 Gbps (1)"), 40: ("4X (2)", "10.0 Gbps (4)"), 56: ("4X (2)", "14.0 Gbps (16)"),
         100: ("4X (2)", "25.0 Gbps (32)"), 200: ("4X (2)", "50.0 Gbps (64)"), 400: ("4X (2)", "invalid speed (128)")}  # fmt: skip


def ibstat(card):
    lines = [f"CA '{card.name}'", f"\tCA type: {card.model}", f"\tNumber of ports: {len(card.ports)}",
             f"\tFirmware version: {card.firmware}", "\tHardware version: 0", "\tNode GUID: 0x0c42a1030065d13a",
             "\tSystem image GUID: 0x0c42a1030065d13a"]  # fmt: skip
    for p in card.ports:
        lines += [f"\tPort {p.number}:", f"\t\tState: {IBSTAT_STATES[p.state]}", f"\t\tPhysical state: {p.physical}",
                  f"\t\tRate: {p.rate:g}", f"\t\tBase lid: {p.lid}", "\t\tLMC: 0", "\t\tSM lid: 1",
                  "\t\tCapability mask: 0xa651e848", "\t\tPort GUID: 0x0c42a1030065d13a", f"\t\tLink layer: {p.layer}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def devinfo(card):
    lines = [f"hca_id:\t{card.name}", "\ttransport:\t\t\tInfiniBand (0)", f"\tfw_ver:\t\t\t\t{card.firmware}",
             "\tnode_guid:\t\t\t0c42:a103:0065:d13a", "\tsys_image_guid:\t\t\t0c42:a103:0065:d13a",
             "\tvendor_id:\t\t\t0x02c9", f"\tvendor_part_id:\t\t\t{card.model.removeprefix('MT')}", "\thw_ver:\t\t\t\t0x0",
             "\tboard_id:\t\t\tMT_0000000223", f"\tphys_port_cnt:\t\t\t{len(card.ports)}", "\tmax_mr_size:\t\t\t0xffffffffffffffff",
             "\tdevice_cap_flags:\t\t0x25361c36", "\t\t\t\t\tBAD_PKEY_CNTR", "\tgeneral_odp_caps:", "\t\t\t\t\tODP_SUPPORT",
             "\tcompletion_timestamp_mask not supported", "", "\tnum_comp_vectors:\t\t63"]  # fmt: skip
    for p in card.ports:
        width, speed = RATES[round(p.rate)]
        lines += [f"\t\tport:\t{p.number}", f"\t\t\tstate:\t\t\tPORT_{p.state} (4)", "\t\t\tmax_mtu:\t\t4096 (5)",
                  "\t\t\tactive_mtu:\t\t1024 (3)", "\t\t\tsm_lid:\t\t\t1", f"\t\t\tport_lid:\t\t{p.lid}",
                  "\t\t\tport_lmc:\t\t0x00", f"\t\t\tlink_layer:\t\t{p.layer}", "\t\t\tmax_msg_sz:\t\t0x40000000",
                  f"\t\t\tgid_tbl_len:\t\t{p.table}", f"\t\t\tactive_width:\t\t{width}", f"\t\t\tactive_speed:\t\t{speed}",
                  f"\t\t\tphys_state:\t\t{DEVINFO_PHYSICAL[p.physical]}"]  # fmt: skip
        for g in p.gids:
            short = str(ipaddress.IPv6Address(g.address)) if g.kind == "RoCE v2" else g.address
            kind = f", {g.kind}" if p.layer == "Ethernet" else ""
            lines.append(f"\t\t\tGID[{g.index:3d}]:\t\t{short}{kind}")
        lines.append("")
    return "\n".join(lines) + "\n"


def show_gids(cards):
    lines = [
        "DEV\tPORT\tINDEX\tGID\t\t\t\t\tIPv4  \t\tVER\tDEV",
        "---\t----\t-----\t---\t\t\t\t\t------------  \t---\t---",
    ]
    rows = [(c.name, p.number, g) for c in cards for p in c.ports for g in p.gids]
    for name, port, g in rows:
        ipv4 = f"{g.ipv4}  \t" if g.ipv4 else "\t\t"
        lines.append(f"{name}\t{port}\t{g.index}\t{g.address}\t{ipv4}v{g.version}\t{g.interface}")
    return "\n".join([*lines, f"n_gids_found={len(rows)}"]) + "\n"


def ibdev2netdev(card, *, verbose=False):
    net = card.interfaces[0]
    up = "Up" if net.up else "Down"
    front = f"{card.pci.address} {card.name} ({card.model} - MCX653105A-HDAT) ConnectX-6 VPI, HDR IB (200Gb/s) fw {card.firmware}"
    return "".join(
        f"{front} port {p.number} ({p.state:<6}) ==> {net.name} ({up})\n" if verbose
        else f"{card.name} port {p.number} ==> {net.name} ({up})\n"
        for p in card.ports
    )  # fmt: skip


def gids(table, layer):
    def made(index, last, ipv4, v2):
        address = (
            f"0000:0000:0000:0000:0000:ffff:0a00:{last:04x}"
            if ipv4
            else f"fe80:0000:0000:0000:0ac0:ebff:fe21:{last:04x}"
        )
        kind = "" if layer == "InfiniBand" else "RoCE v2" if v2 else "RoCE v1"
        return Gid(index=index, address=address, kind=kind)

    one = st.builds(made, st.integers(0, table - 1), st.integers(1, 0xFFFF), st.booleans(), st.booleans())
    return st.lists(one, max_size=4, unique_by=lambda g: g.index).map(
        lambda found: tuple(sorted(found, key=lambda g: g.index))
    )


@st.composite
def cards(draw):
    layer = draw(st.sampled_from(["InfiniBand", "Ethernet"]))
    table = draw(st.integers(1, 256))
    port = st.builds(
        RdmaPort, number=st.integers(1, 3), state=st.sampled_from(sorted(IBSTAT_STATES)),
        physical=st.sampled_from(sorted(DEVINFO_PHYSICAL)), layer=st.just(layer), rate=st.sampled_from(sorted(map(float, RATES))),
        lid=st.integers(0, 65535), gids=gids(table, layer), table=st.just(table),
    )  # fmt: skip
    ports = draw(st.lists(port, min_size=1, max_size=3, unique_by=lambda p: p.number))
    return RdmaCard(
        name=draw(st.sampled_from(["mlx5_0", "mlx5_bond_0", "ibp23s0", "rocep1s0f1"])),
        ports=tuple(sorted(ports, key=lambda p: p.number)),
        pci=PciDevice(address="0000:17:00.0"),
        interfaces=(NetDevice(name="ens4f0np0", mtu=0, up=draw(st.booleans())),),
        model=draw(st.sampled_from(["MT4129", "MT4119"])),
        firmware="28.39.1002",
    )


def seen(card, **of_ports):
    """The card as one tool shows it: without what that does not print."""
    return replace(card, pci=None, interfaces=(), ports=tuple(replace(p, **of_ports) for p in card.ports))


@given(cards())
def test_ibstat_is_read(card):
    (found,) = read(ibstat(card)).fabric.cards
    assert found == seen(card, gids=(), table=0)
    plain = "\n".join(line.strip() for line in ibstat(card).splitlines())
    assert read(plain).fabric.cards == (found,)


@given(cards())
def test_ibv_devinfo_is_read(card):
    told = read(devinfo(card))
    assert told.fabric.cards == (seen(card),)
    assert told.cards


@given(cards())
def test_all_tools_together_tell_all(card):
    texts = (ibstat(card), devinfo(card), ibdev2netdev(card, verbose=True))
    whole = merged(read(text).fabric for text in texts)
    assert whole.cards == (card,)
    assert whole.told_by == "ibstat, ibv_devinfo, ibdev2netdev"
    assert read("$ ibstat\n" + "".join(texts)).fabric == whole  # in one file, as people paste them
    assert merged(read(text).fabric for text in reversed(texts)).cards == (card,)


@given(cards())
def test_show_gids_is_read(card):
    card = replace(card, ports=tuple(replace(p, layer="Ethernet", gids=tuple(replace(g, kind=g.kind or "RoCE v1", interface="eth2") for g in p.gids)) for p in card.ports))  # fmt: skip
    found = {c.name: c for c in read(show_gids([card])).fabric.cards}
    shown = [p for p in card.ports if p.gids]
    assert [(p.number, p.gids, p.table) for c in found.values() for p in c.ports] == [
        (p.number, p.gids, TABLE) for p in shown
    ]


def test_interfaces_alone_say_of_no_port_that_it_is_down():
    told = read("mlx5_0 port 1 ==> ib0 (Up)\nmlx5_1 port 1 ==> ens3 (Down)\n")
    assert [c.interfaces[0].up for c in told.fabric.cards] == [True, False]
    fabric, (said,) = completed(told.fabric)
    assert said.startswith("state and kind of mlx5_0:1, mlx5_1:1: ibstat or ibv_devinfo show both")
    assert judged(fabric) == judged(fabric, NCCL_IB_HCA="mlx5_1") == ()
    assert [p.layer for c in fabric.cards for p in c.ports] == ["InfiniBand", "Ethernet"]


def test_what_two_hosts_show_is_not_mixed():
    card = RdmaCard(name="mlx5_0", model="MT4129", firmware="1",
                    ports=(RdmaPort(number=1, state="ACTIVE", physical="LinkUp", layer="InfiniBand", rate=400.0, lid=1),))  # fmt: skip
    other = replace(card, ports=(replace(card.ports[0], state="DOWN"),))
    assert merged([read(ibstat(card)).fabric, read(ibstat(other)).fabric]) is None


def judged(fabric, **environment):
    case = Case(origin=Origin.STATIC, hosts=(HostFacts(host="a", fabric=fabric),), environment=environment)
    return judge(case).diagnoses


@given(cards(), st.sampled_from([{}, {"NCCL_IB_HCA": "mlx5_7"}, {"NCCL_NET": "IB"}, {"NCCL_IB_GID_INDEX": "1"}]))
def test_the_rules_say_the_same_as_of_sys(card, environment):
    """Of cards that both show; what only /sys shows (device files, PCI, MTU) is taken to be in order."""
    told = replace(merged([read(ibstat(card)).fabric, read(devinfo(card)).fabric]), told_by="x")
    from_sys = Fabric(cards=(replace(card, interfaces=(), pci=None),), verbs=True)
    ours, theirs = judged(told, **environment), judged(from_sys, **(environment or {"NCCL_DEBUG": "INFO"}))
    assert [(d.cause, d.title, d.confidence) for d in ours] == [(d.cause, d.title, d.confidence) for d in theirs]


LINES = st.one_of(
    st.text(max_size=80),
    st.sampled_from([
        "CA 'mlx5_0'", "\tCA type: MT1", "\tPort 1:", "\t\tState: Active", "\t\tRate: ", "hca_id:\tx", "\t\tport:\tone",
        "\t\t\tactive_speed: (99999)", "\t\t\tGID[  9]:\t\t:::::", "mlx5_0\t1\t0\t" + ":" * 39, "x port 1 ==> y (Up)",
        "\t\t\tgid_tbl_len:\t\t²", "NCCL_IB_HCA='", "DEV\tPORT\tINDEX\tGID", "-" * 3000 + "x", "\tPort 999:",
    ]),
)  # fmt: skip


@given(st.lists(LINES, max_size=30))
def test_any_text_is_read_without_an_error_and_judged(lines):
    told = read("\n".join(lines))
    judged(told.fabric, **dict(told.settings))


def diagnosed(*paths):
    command = [sys.executable, "-m", "commcheck", "diagnose", "--format", "json", "--quiet", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


ROCE = RdmaCard(
    name="mlx5_0", model="MT4119", firmware="16.28.2006",
    ports=(RdmaPort(number=1, state="ACTIVE", physical="LinkUp", layer="Ethernet", rate=100.0, lid=0, table=256,
                    gids=(Gid(index=0, address="fe80:0000:0000:0000:0ac0:ebff:fe21:03da", kind="RoCE v1", interface="rdma0"),
                          Gid(index=3, address="0000:0000:0000:0000:0000:ffff:c0a8:d3f2", kind="RoCE v2", interface="rdma0"))),),
)  # fmt: skip


def test_files_are_known_by_what_is_in_them(tmp_path):
    (tmp_path / "a.txt").write_text(devinfo(ROCE))
    (tmp_path / "b.txt").write_text(show_gids([ROCE]) + "\nexport NCCL_IB_GID_INDEX=0\n")
    code, found = diagnosed(tmp_path / "a.txt", tmp_path / "b.txt")
    (lead,) = found["diagnoses"]
    assert (code, lead["cause"]) == (1, "transport-unavailable")
    assert "NCCL_IB_GID_INDEX=0 is a link-local address of mlx5_0:1" in lead["title"]
    assert "ibv_devinfo, show_gids (a.txt, b.txt)" in {e["source"] for e in lead["evidence"]}
    code, found = diagnosed(tmp_path / "a.txt")
    assert (code, found["diagnoses"]) == (0, [])
    assert "NCCL will probably use NET/IB over mlx5_0:1 (RoCE) between hosts" in found["notes"]


@pytest.mark.whole
def test_each_host_of_several_is_judged_and_a_log_beside_them_too(tmp_path):
    down = replace(ROCE, ports=(replace(ROCE.ports[0], state="DOWN", physical="Disabled"),))
    (tmp_path / "node1.txt").write_text(ibstat(ROCE))
    (tmp_path / "node2.txt").write_text(ibstat(down))
    (tmp_path / "job.log").write_text(
        "[rank1]: RuntimeError: CUDA error: out of memory\n" + ibstat(ROCE) + "step 1\n" * 90
    )
    code, found = diagnosed(tmp_path / "node1.txt", tmp_path / "node2.txt")
    (lead,) = found["diagnoses"]
    assert (code, lead["evidence"][0]["source"]) == (0, "ibstat (node2.txt)")
    assert any(note.startswith("node1.txt: NCCL will probably use NET/IB over") for note in found["notes"])
    code, found = diagnosed(tmp_path / "job.log", tmp_path / "node2.txt")
    assert {d["cause"] for d in found["diagnoses"]} >= {"memory-exhausted", "transport-fallback"}
