"""The probes, on the machine that the tests run on, and their parsers on any text."""

import contextlib
import os
import re
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.probe import limits, names, routes, versions
from commcheck.probe.facts import host_facts
from commcheck.probe.interfaces import interfaces, prefix_length

IPV4_ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0001000A\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
IPV6_ROUTES = """\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000003 00000000 00000001     eth0
"""


def test_the_loopback_comes_first() -> None:
    first, *others = interfaces()
    assert first.name == "lo"
    assert first.loopback
    assert first.mtu > 0
    assert not any(i.loopback for i in others if i.name.startswith("eth"))
    assert all(0 <= a.prefix <= (32 if a.family == "ipv4" else 128) for i in (first, *others) for a in i.addresses)


def test_routes_of_a_known_table() -> None:
    four = [(r.destination, r.gateway, r.interface) for r in routes.parse_ipv4(IPV4_ROUTES)]
    assert four == [("0.0.0.0/0", "10.0.0.1", "eth0"), ("10.0.0.0/24", "", "eth0")]
    six = [(r.destination, r.gateway, r.interface) for r in routes.parse_ipv6(IPV6_ROUTES)]
    assert six == [("fd00::/64", "", "eth0"), ("::/0", "fd00::1", "eth0")]
    assert isinstance(routes.routes(), tuple)


@given(st.text())
def test_parsers_take_any_text(text) -> None:
    list(routes.parse_ipv4("header\n" + text))
    list(routes.parse_ipv6(text))


@given(st.integers(0, 32))
def test_prefix_length_of_any_ipv4_mask(length) -> None:
    mask = socket.inet_ntoa(((0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF).to_bytes(4, "big"))
    assert prefix_length(mask) == length


@given(st.integers(0, 128))
def test_prefix_length_of_any_ipv6_mask(length) -> None:
    mask = socket.inet_ntop(socket.AF_INET6, ((((1 << 128) - 1) << (128 - length)) % (1 << 128)).to_bytes(16, "big"))
    assert prefix_length(mask) == prefix_length(f"{mask}/{length}") == length


@given(st.text(max_size=40))
def test_prefix_length_raises_nothing_but_value_error(text) -> None:
    with contextlib.suppress(ValueError):
        prefix_length(text)


def test_look_ups_in_the_order_asked() -> None:
    found = names.look_up(("localhost", "127.0.0.1", "localhost"), ("127.0.0.1",))
    assert [(f.kind, f.name) for f in found] == [
        ("forward", "localhost"),
        ("forward", "127.0.0.1"),
        ("reverse", "127.0.0.1"),
    ]
    assert set(found[0].addresses) & {"127.0.0.1", "::1"}
    assert found[1].addresses == ("127.0.0.1",)
    assert all(f.seconds >= 0 for f in found)


def test_a_late_answer_is_no_answer(monkeypatch) -> None:
    never = threading.Event()

    def stuck(kind: str, name: str):
        never.wait(20)

    monkeypatch.setattr(names, "resolve", stuck)
    begin = time.monotonic()
    found = names.look_up(("a", "b", "c"), (), deadline=0.1)
    never.set()
    assert time.monotonic() - begin < 2
    assert [f.error for f in found] == ["no answer within 0.1 s"] * 3


def test_the_deadline_is_as_promised() -> None:
    assert names.NAME_DEADLINE == 1.2


@pytest.mark.parametrize("name", ["no such name", "a" * 300, "\udcff", "x\0y", ""])
def test_odd_names_give_an_error_and_never_raise(name) -> None:
    found = names.resolve("forward", name)
    assert found.addresses == () or found.name == ""
    names.resolve("reverse", name)


def test_name_servers(tmp_path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# nameserver 9.9.9.9\nnameserver 10.0.0.2\nsearch x\nnameserver\nnameserver fd00::2 # two\n")
    assert names.nameservers(str(file)) == ("10.0.0.2", "fd00::2")


def test_limits_are_those_of_the_process() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = {limit.name: limit for limit in limits.limits()}
    assert set(found) == {"nofile", "nproc", "memlock", "as"}
    assert (found["nofile"].soft, found["nofile"].hard) == (soft, hard)
    first, last = limits.port_range()
    assert 0 < first <= last <= 65535
    assert limits.memory_bytes() > 1 << 20


def test_versions_are_read_from_names_alone(tmp_path) -> None:
    (tmp_path / "torch-9.9+x.dist-info").mkdir()
    (tmp_path / "nvidia_nccl_cu12-2.99.dist-info").mkdir()
    (tmp_path / "other-1.dist-info").mkdir()
    assert versions.installed([str(tmp_path / "absent"), str(tmp_path)]) == {
        "torch": "9.9+x",
        "nvidia-nccl-cu12": "2.99",
    }


def test_versions_agree_with_the_standard_library() -> None:
    from importlib.metadata import version

    found = versions.versions()
    assert found["netifaces-plus"] == version("netifaces-plus")
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["python"])
    assert found["kernel"] == os.uname().release


def test_facts_of_this_host() -> None:
    begin = time.monotonic()
    found = host_facts("here", names=("localhost",), reverse=("127.0.0.1",))
    assert time.monotonic() - begin < names.NAME_DEADLINE + 1
    assert found.host == "here"
    assert found.hostname == socket.gethostname()
    assert found.not_read == ()
    assert {"lo"} <= {i.name for i in found.interfaces}
    assert [f.name for f in found.lookups][-2:] == ["localhost", "127.0.0.1"]


def test_what_cannot_be_read_is_said(monkeypatch) -> None:
    def broken() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(routes, "routes", broken)
    found = host_facts("here")
    assert found.routes == ()
    assert found.not_read == ("routes: Permission denied",)
