"""What `commcheck cluster` says of the hosts' libnccl: which there is, what it reads, which address it would take."""

import os

import pytest
from msgspec.structs import replace

from commcheck.cluster import drift
from commcheck.cluster.nccl import with_nccl
from commcheck.cluster.values import LIBRARY, Card, Collected
from commcheck.model.case import Address, HostFacts, Interface
from commcheck.model.nccl import NcclAnswer, NcclFacts, NcclFile, NcclLibrary, NcclSetting
from commcheck.probe import nccl_elf
from commcheck.probe.nccl_find import VARIABLE, find
from commcheck.probe.nccl_library import ask

FOUND = find(os.environ)
needs_nccl = pytest.mark.skipif(
    not FOUND.path, reason=f"no libnccl here: install nvidia-nccl-cu12, or name one in {VARIABLE}"
)


def card(number, version=23203, interface="eth0", network="10.0.0", prefix=24, files=(), **nccl):
    address = f"{network}.{number}"
    library = NcclLibrary(path="/l", found_by="x", version=version)
    facts = HostFacts(
        host=f"h{number}",
        versions={LIBRARY: library.text, "nvidia-nccl-cu12": f"2.30.{number}"},
        interfaces=(
            Interface(name=interface, up=True, carrier=True, loopback=False, mtu=1500,
                      addresses=(Address(family="ipv4", address=address, prefix=prefix),)),
        ),
        nccl=NcclFacts(
            library=library, answer=NcclAnswer(interface=interface, address=address, predicted=True),
            files=files, environment={s.name: s.value for file in files for s in file.settings}, **nccl,
        ),
    )  # fmt: skip
    return Card(name=f"h{number}", facts=facts, mark=b"", ports=())


def said(*cards):
    found = Collected(
        names=tuple(c.name for c in cards), cards=dict(enumerate(cards)), targets={}, interfaces={0: "eth0"}
    )
    differences = drift.drift(found)
    causes = [(f.diagnosis.cause, f.diagnosis.hosts) for f in drift.findings(found, differences)]
    return {d.name: d.values for d in differences}, causes


def test_hosts_with_one_library_and_one_network_do_not_differ() -> None:
    assert said(card(1), card(2), card(3)) == ({}, [])


def test_another_version_is_a_finding_and_the_wheels_beside_it_are_not() -> None:
    values, causes = said(card(1), card(2, version=22907), card(3))
    assert values == {LIBRARY: {"2.32.3": ("h1", "h3"), "2.29.7": ("h2",)}}
    assert causes == [("version-mismatch", ("h2",))]


def test_a_host_without_a_library_is_shown_and_not_accused() -> None:
    bare = card(2)
    without = replace(bare, facts=replace(bare.facts, versions={}, nccl=None))
    values, causes = said(card(1), without, card(3))
    assert values == {LIBRARY: {"2.32.3": ("h1", "h3"), "not there": ("h2",)}}
    assert causes == []


def test_a_file_that_one_host_has_differs_as_what_it_sets_does() -> None:
    file = NcclFile(path="/etc/nccl.conf", settings=(NcclSetting(name="NCCL_ALGO", value="Ring", line=1),))
    values, causes = said(card(1), card(2), card(3, files=(file,)))
    assert values == {
        "NCCL_ALGO": {"not set": ("h1", "h2"), "Ring": ("h3",)},
        "configuration files": {"none": ("h1", "h2"), "/etc/nccl.conf: NCCL_ALGO=Ring": ("h3",)},
    }
    assert causes == [("env-differs-between-ranks", ("h3",))]


def test_another_interface_and_network_is_shown_except_where_each_host_has_its_own() -> None:
    values, causes = said(card(1), card(2), card(3, interface="docker0", network="172.17.0"))
    assert values == {
        "interface that it takes": {"eth0": ("h1", "h2"), "docker0": ("h3",)},
        "network of its address": {"10.0.0.0/24": ("h1", "h2"), "172.17.0.0/24": ("h3",)},
    }
    assert causes == []
    assert said(card(1, prefix=32), card(2, prefix=32), card(3, prefix=32)) == ({}, [])


@needs_nccl
@pytest.mark.parametrize("wanted", ["", "lo", "^lo", "nope"])
def test_what_is_predicted_is_what_the_library_does(wanted, tmp_path) -> None:
    conf = tmp_path / "nccl.conf"
    conf.write_text(f"NCCL_SOCKET_IFNAME={wanted}\nNCCL_SECRET_TOKEN=abc\n")
    environment = {"NCCL_CONF_FILE": str(conf), VARIABLE: FOUND.path, "HOME": str(tmp_path)}
    facts, asked = with_nccl(HostFacts(host="a"), environment), ask(environment)
    assert facts.nccl.library.version == asked.library.version == nccl_elf.version(FOUND.path)
    assert facts.versions[LIBRARY] == asked.library.text
    ours, theirs = facts.nccl.answer, asked.answer
    assert (ours.result, ours.interface, ours.address) == (theirs.result, theirs.interface, theirs.address)
    assert facts.nccl.files == asked.files
    assert "abc" not in str(facts)


def test_where_there_is_none_nothing_is_said_of_it(tmp_path) -> None:
    bare = HostFacts(host="a")
    assert with_nccl(bare, {VARIABLE: str(tmp_path / "none.so")}) == bare
    broken = tmp_path / "libnccl.so.2"
    broken.write_bytes(b"\x7fELF\x02\x01" + bytes(100))
    assert "libnccl.so.2 is: " in with_nccl(bare, {VARIABLE: str(broken)}).not_read[0]
