"""How NCCL reads its settings, its files and a library's own file: without a library."""

import ctypes
import faulthandler
import os
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.catalog.env import nccl_conf
from commcheck.catalog.env.nccl_ifname import is_set, pattern
from commcheck.catalog.env.nccl_versions import NEWEST, OLDEST, last, read_by, since
from commcheck.diagnose.match import judge
from commcheck.model.case import Case, Ended, HostFacts, Origin, RankError, RankRecord
from commcheck.model.nccl import NcclAddress, NcclAnswer, NcclFacts, NcclLibrary, NcclReach, version_text
from commcheck.model.phase import Phase
from commcheck.predict.nccl_interfaces import INVALID_USAGE, SUCCESS, SYSTEM_ERROR, choose
from commcheck.probe import nccl_elf
from commcheck.probe.nccl_child import Question, dumped, forked, said_by
from commcheck.probe.nccl_find import VARIABLE, find
from commcheck.probe.nccl_library import Child, ask

ADDRESSES = (
    *(
        NcclAddress(interface=n, family="link", address="", prefix=0, scope=i + 1)
        for i, n in enumerate(("lo", "docker0", "eth0"))
    ),
    NcclAddress(interface="lo", family="ipv4", address="127.0.0.1", prefix=8),
    NcclAddress(interface="docker0", family="ipv4", address="172.17.0.1", prefix=16),
    NcclAddress(interface="eth0", family="ipv4", address="10.0.0.5", prefix=24),
    NcclAddress(interface="lo", family="ipv6", address="::1", prefix=128),
    NcclAddress(interface="eth0", family="ipv6", address="fe80::5", prefix=64, scope=3),
)
LISTS = st.text(alphabet="=^,:eth0l ", max_size=12)


@given(LISTS, st.sampled_from(("eth0", "eth1", "lo", "docker0")))
def test_leaving_out_is_the_reverse_of_naming(text, name) -> None:
    listed = pattern(text.lstrip("^"))
    assert pattern("^" + text.lstrip("^")).takes(name) != listed.takes(name)
    assert listed.names_it(name) == listed.takes(name)


@given(LISTS)
def test_a_choice_is_one_of_the_addresses_or_an_error(text) -> None:
    chosen = choose({"NCCL_SOCKET_IFNAME": text}, ADDRESSES, 23203)
    assert chosen.result in {SUCCESS, INVALID_USAGE}
    assert (chosen.result == SUCCESS) == any(a.address and a.interface == chosen.interface for a in ADDRESSES)
    if not is_set(text):
        assert chosen == choose({}, ADDRESSES, 23203)


@pytest.mark.parametrize(
    ("settings", "version", "interface", "address"),
    [
        ({}, 23203, "eth0", "10.0.0.5"),
        ({"NCCL_SOCKET_IFNAME": "e"}, 23203, "eth0", "10.0.0.5"),
        ({"NCCL_SOCKET_IFNAME": "d,e"}, 23203, "docker0", "172.17.0.1"),
        ({"NCCL_SOCKET_IFNAME": "x"}, 23203, "eth0", "10.0.0.5"),  # one character counts as none
        ({"NCCL_SOCKET_IFNAME": "^et"}, 23203, "lo", "127.0.0.1"),
        ({"NCCL_SOCKET_FAMILY": "AF_INET6"}, 23203, "eth0", "fe80::5%eth0"),
        ({"NCCL_COMM_ID": "10.0.0.9:77", "NCCL_SOCKET_IFNAME": "nope"}, 23203, "eth0", "10.0.0.9"),
        ({"NCCL_COMM_ID": "10.0.0.9:77"}, 22907, "lo", "10.0.0.9"),  # its bug
    ],
)
def test_known_choices(settings, version, interface, address) -> None:
    chosen = choose(settings, ADDRESSES, version)
    assert (chosen.interface, chosen.address) == (interface, address)


def test_versions_differ_in_what_they_return() -> None:
    assert [choose({"NCCL_SOCKET_IFNAME": "nope"}, ADDRESSES, v).result for v in (22304, 22403)] == [3, 5]
    assert choose({"NCCL_COMM_ID": "192.0.2.1:7"}, ADDRESSES, 23203).result == SYSTEM_ERROR
    assert [choose({"NCCL_COMM_ID": "10.0.0.9:"}, ADDRESSES, v).port for v in (23004, 23007)] == [0, 65535]
    down = tuple(NcclAddress(interface="e", family="ipv4", address="10.0.0.1", prefix=24, running=False) for _ in "x")
    assert [choose({}, down, v).interface for v in (22707, 22809)] == ["e", ""]
    assert [version_text(v) for v in (23203, 21605, 2808)] == ["2.32.3", "2.16.5", "2.8.8"]


@given(st.lists(st.tuples(st.text("AB_ #", max_size=4), st.text("ab=' ", max_size=4)), max_size=6), st.booleans())
def test_the_first_setting_of_a_name_counts(lines, environment) -> None:
    text = "\n".join(f"{name}={value}" for name, value in lines)
    given_ones = {"A": "environment"} if environment else {}
    read = nccl_conf.ordered(given_ones, (nccl_conf.parsed("f", text, 23203), nccl_conf.parsed("g", "A=g\nZ=g", 23203)))
    expected = dict(given_ones)
    for name, value in (*((n, v) for n, v in lines if n and not n.startswith("#")), ("A", "g"), ("Z", "g")):
        expected.setdefault(name, value)
    assert nccl_conf.effective(given_ones, read) == expected
    counting = [(s.name, s.value) for file in read for s in file.settings if not s.hidden_by]
    assert given_ones | dict(counting) == expected
    assert len(counting) == len({name for name, _ in counting})


def test_files_and_their_lines_by_version() -> None:
    home = {"HOME": "/h", "NCCL_CONF_FILE": "/x"}
    assert [p for p, _ in nccl_conf.files(home, 22105, "/a")] == ["/a/.nccl.conf", "/etc/nccl.conf"]
    assert [p for p, _ in nccl_conf.files({"HOME": "/h"}, 23007, "/a")] == ["/h/.nccl.conf", "/etc/nccl.conf"]
    assert [p for p, _ in nccl_conf.files({}, 23007)] == ["/etc/nccl.conf"]
    assert [p for p, _ in nccl_conf.files(home, 22304)] == ["/x", "/etc/nccl.conf"]
    text = "#A=1\r\nB=2\r\nwhat\n"
    old, new = nccl_conf.parsed("f", text, 22105), nccl_conf.parsed("f", text, 23007)
    assert [(s.name, s.value, s.line) for s in old.settings] == [("#A", "1\r", 1), ("B", "2\r", 2)]
    assert [(s.name, s.value, s.line) for s in new.settings] == [("B", "2", 2)]
    assert new.ignored == ((3, "what"),)


def test_names_come_and_go_with_versions() -> None:
    assert "NCCL_SOCKET_IFNAME" in read_by(OLDEST) & read_by(NEWEST)
    assert "NCCL_CTA_POLICY" not in read_by(26)
    assert "NCCL_CTA_POLICY" in read_by(27)
    gone = [n for n in since() if last(n) is not None]
    assert gone
    assert all(n in read_by(last(n)) and n not in read_by(last(n) + 1) for n in gone if last(n) >= since()[n])


@given(st.binary(max_size=300))
def test_no_file_is_read_as_a_library_that_is_none(raw) -> None:
    path = f"/tmp/commcheck-elf-{os.getpid()}"
    with open(path, "wb") as file:
        file.write(b"\x7fELF\x02\x01" + raw)
    try:
        nccl_elf.variables(path)
        assert len(raw) >= 58  # of a header, at least
    except (ValueError, OSError):
        pass  # that and nothing else: what is not read must be said
    finally:
        os.unlink(path)


def test_what_a_library_needs_is_read_as_the_loader_sees_it() -> None:
    with open("/proc/self/maps", encoding="utf-8") as maps:
        found = {line.split()[-1] for line in maps if ".so" in line}
    extension = next(p for p in sorted(found) if "_ctypes" in p)
    told = nccl_elf.needs(extension)
    assert any(name.startswith("libc.so") for name in told.needed)
    assert nccl_elf.variables(extension) == ()


def test_the_library_is_found_where_the_loader_would_look(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    wheel = tmp_path / "site" / "nvidia" / "nccl" / "lib"
    own = tmp_path / "own"
    for folder in (wheel, own):
        folder.mkdir(parents=True)
        (folder / "libnccl.so.2").touch()
    path = [str(tmp_path / "site")]
    assert find({}, path=path).path == str(wheel / "libnccl.so.2")
    assert find({"LD_LIBRARY_PATH": str(own)}, path=path).path == str(own / "libnccl.so.2")
    assert find({"LD_LIBRARY_PATH": str(own)}, str(wheel), path).path == str(wheel / "libnccl.so.2")
    assert (
        find({"LD_PRELOAD": f"{wheel}/libnccl.so.2", "LD_LIBRARY_PATH": str(own)}, path=path).found_by == "LD_PRELOAD"
    )
    missing = find({VARIABLE: "/nonexistent"}, path=path)
    assert not missing.path
    assert VARIABLE in missing.looked[0]


def test_what_crashes_or_hangs_takes_nobody_along() -> None:
    def crash():
        faulthandler.disable()
        ctypes.string_at(0)
        return b""

    def hang():
        import time

        time.sleep(60)
        return b""

    def exits():
        print("said", flush=True)
        raise ValueError("odd")

    assert "signal 11" in forked(crash, 5.0)[2]
    assert "no answer within 0.2 s" in forked(hang, 0.2)[2]
    assert forked(exits, 5.0)[2] == "commcheck: ValueError: odd"
    assert forked(lambda: b"x" * 100000, 5.0)[0] == b"x" * 100000


def test_a_library_that_is_no_nccl_is_said_and_the_child_goes_on() -> None:
    with Child() as child:
        for path in ("libc.so.6", "/nonexistent/libnccl.so.2"):
            reply = child.ask(Question(path=path))
            assert "cannot be loaded" in reply.failed
            assert any(a.family == "ipv4" and a.address == "127.0.0.1" for a in reply.addresses)


HANGING = """
import os, sys, time
from commcheck.probe.nccl_child import forked
os.dup2(2, 9)
def told():
    os.write(9, f"{os.getpid()}\\n".encode())
    time.sleep(60)
    return b""
forked(told, 60.0)
"""


def gone(pid):
    for _ in range(250):
        if not os.path.exists(f"/proc/{pid}"):
            return True
        subprocess.run(["sleep", "0.02"], check=True)
    return False


def test_no_child_is_left_when_we_are_killed() -> None:
    code = (
        "import os; from commcheck.probe.nccl_library import Child, ask\n"
        "child = Child(); print(child._process.pid, flush=True); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert gone(int(done.stdout))
    with subprocess.Popen([sys.executable, "-c", HANGING], stderr=subprocess.PIPE, text=True) as asking:
        hanging = int(asking.stderr.readline())
        assert os.path.exists(f"/proc/{hanging}")
        asking.kill()
    assert gone(hanging)


def test_what_nccl_prints_is_read() -> None:
    text = (
        "vm:1:1 [0] misc/socket.cc:1 NCCL WARN Net : No valid [IPv6]:port pair found\n"
        "vm:1:1 [0] NCCL INFO Bootstrap : Using ib0:fe80::1%ib0<0>\n"
        "vm:1:1 [0] enqueue.cc:100 NCCL WARN Cuda failure 'no driver'\n"
    )
    assert said_by(text) == (("Net : No valid [IPv6]:port pair found",), "ib0", "fe80::1%ib0")
    (one,) = dumped(
        "=== x ===\nNCCL_NO_CACHE (const char*) [Private] Comma\n    Current value=a=b set_by=Env default=<unset>\n"
        "    Accepted value: One of:\n        A - first\n        B - second\n"
    )
    assert (one.value, one.set_by, one.default, one.accepted) == ("a=b", "Env", "<unset>", "One of: A, B")


def facts(host, interface="eth0", address="10.0.0.5", reached=(), result=0):
    library = NcclLibrary(path="/l", found_by="x", version=23203)
    answer = NcclAnswer(result=result, interface=interface, address=address)
    nccl = NcclFacts(
        library=library, answer=answer, addresses=ADDRESSES, reached=reached, environment={"NCCL_DEBUG": "INFO"}
    )
    return HostFacts(host=host, nccl=nccl)


def world(hosts, ended, error=""):
    ranks = tuple(
        RankRecord(slot=n, rank=n, world_size=len(hosts), host=h.host, backend="nccl",
                   error=RankError(phase=Phase.GROUP, kind="X", message=error) if error else None)
        for n, h in enumerate(hosts)
    )  # fmt: skip
    return Case(origin=Origin.WORLD, hosts=tuple(hosts), ranks=ranks, ended=ended)


def worth(case, cause):
    return next((d.confidence for d in judge(case).diagnoses if d.cause == cause), None)


@pytest.mark.parametrize(
    ("ended", "error", "expected"),
    [
        (Ended.FAILED, "NCCL error in: x, ncclInvalidUsage", 0.97),
        (Ended.STALLED, "", 0.97),
        (Ended.NOT_RUN, "", 0.7),  # on its way: not enough to end the watch
        (Ended.FAILED, "Distributed package doesn't have NCCL built in", 0.6),
        (Ended.FINISHED, "", None),
    ],
)
def test_what_was_asked_beforehand_does_not_overrule_what_happened(ended, error, expected) -> None:
    assert worth(world([facts("a", result=5), facts("b")], ended, error), "nccl-no-interface") == expected


@pytest.mark.parametrize(("source", "target", "expected"), [(1, 0, 0.9), (0, 2, 0.9), (1, 2, 0.9), (3, 1, 0.6)])
def test_a_connection_that_nccl_may_not_need_is_worth_less(source, target, expected) -> None:
    names = "abcd"
    hosts = [
        facts(
            n,
            reached=(NcclReach(host=names[target], address="10.0.0.5", port=1, outcome="timed-out"),)
            if i == source
            else (),
        )
        for i, n in enumerate(names)
    ]
    assert worth(world(hosts, Ended.STALLED), "nccl-address-unreachable") == expected


def shared_library(path, needed, tag=0, directories=""):
    """A file with the sections that a loader's questions are answered from: 1 needed, 15 RPATH, 29 RUNPATH."""
    texts = b"\0" + needed.encode() + b"\0" + directories.encode() + b"\0"
    entries = [(1, 1), *([(tag, 2 + len(needed))] if tag else []), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    names = b"\0.dynamic\0.dynstr\0.shstrtab\0"
    parts, at = [(1, dynamic), (10, texts), (18, names)], 64
    rows, body = [struct.pack("<IIQQQQIIQQ", *[0] * 10)], b""
    for name, data in parts:
        rows.append(struct.pack("<IIQQQQIIQQ", name, 0, 0, 0, at + len(body), len(data), 0, 0, 0, 0))
        body += data
    header = b"\x7fELF\x02\x01".ljust(40, b"\0") + struct.pack(
        "<QIHHHHHH", at + len(body), 0, 64, 0, 0, 64, len(rows), 3
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.ljust(64, b"\0") + body + b"".join(rows))


@pytest.mark.parametrize(
    ("tag", "found_by"),
    [(15, "torch's RPATH"), (29, "LD_LIBRARY_PATH"), (0, "LD_LIBRARY_PATH")],
    ids=["RPATH", "RUNPATH", "none"],
)
def test_torchs_own_directories_come_where_its_library_says(tmp_path, monkeypatch, tag, found_by) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    shared_library(
        tmp_path / "torch/lib/libtorch_cuda.so", "libnccl.so.2", tag, "$ORIGIN/../../nvidia/nccl/lib:$ORIGIN"
    )
    for folder in ("nvidia/nccl/lib", "own"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "libnccl.so.2").touch()
    found = find({"LD_LIBRARY_PATH": str(tmp_path / "own")}, path=[str(tmp_path)])
    assert found.found_by == found_by
    assert found.path == str(tmp_path / ("nvidia/nccl/lib" if tag == 15 else "own") / "libnccl.so.2")
    without = find({}, path=[str(tmp_path)])
    assert without.path == str(tmp_path / "nvidia/nccl/lib/libnccl.so.2")


def test_a_torch_with_nccl_built_in_is_said_and_no_other_library_is_taken_for_it(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    shared_library(tmp_path / "torch/lib/libtorch_cuda.so", "libcudart.so.12")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "libnccl.so.2").touch()
    found = find({"LD_LIBRARY_PATH": str(tmp_path / "own")}, path=[str(tmp_path)])
    assert not found.path
    assert "NCCL built in" in found.looked[0]


some_addresses = st.lists(
    st.builds(
        NcclAddress,
        interface=st.sampled_from(("lo", "eth0", "ib0", "docker0")),
        family=st.sampled_from(("ipv4", "ipv6", "link")),
        address=st.sampled_from(("10.0.0.1", "fd00::1")),
        prefix=st.just(24),
        running=st.booleans(),
    ).map(lambda a: replace(a, address={"ipv4": "10.0.0.1", "ipv6": "fd00::1", "link": ""}[a.family])),
    min_size=1,
    max_size=5,
)


@given(some_addresses, LISTS, st.sampled_from(("", "AF_INET", "AF_INET6")), st.sampled_from((21605, 22707, 23203)))
def test_every_refusal_has_a_reason(addresses, text, family, version) -> None:
    wish = {"NCCL_SOCKET_IFNAME": text, "NCCL_SOCKET_FAMILY": family}
    environment = {name: value for name, value in wish.items() if value}
    chosen = choose(environment, addresses, version)
    if chosen.result == SUCCESS:
        return
    library = NcclLibrary(path="/l", found_by="x", version=version)
    nccl = NcclFacts(
        library=library, answer=NcclAnswer(result=chosen.result), addresses=tuple(addresses), environment=environment
    )
    found = judge(Case(origin=Origin.STATIC, hosts=(HostFacts(host="a", nccl=nccl),)))
    (one,) = (d for d in found.diagnoses if d.cause == "nccl-no-interface")
    assert "NCCL takes none of" not in one.title
    for fix in one.fixes:
        mended = {name: value for name, value in environment.items() if name not in fix.unset} | fix.set
        assert choose(mended, addresses, version).result == SUCCESS


def test_a_files_secrets_are_not_kept(tmp_path) -> None:
    path = tmp_path / "nccl.conf"
    path.write_text("NCCL_PROXY_TOKEN=abc123\nNCCL_DEBUG=INFO\nhf_abcdefghijklmnopqrstuvwxyz\n", encoding="utf-8")
    found = ask({"NCCL_CONF_FILE": str(path)}, library="/nonexistent/libnccl.so.2")
    assert found.environment["NCCL_DEBUG"] == "INFO"
    assert "abc123" not in str(found)
    assert "hf_abcdef" not in str(found)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_NNODES": "4"}, 0.6),
        ({}, 0.35),
        ({"SLURM_NNODES": "1"}, None),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, None),
    ],
)
def test_a_bridge_of_one_host_is_named_where_there_are_others(environment, expected) -> None:
    host = facts("a", interface="docker0", address="172.17.0.1")
    case = Case(origin=Origin.STATIC, hosts=(host,), environment=environment)
    assert worth(case, "nccl-address-unreachable") == expected
    ours = Case(origin=Origin.STATIC, hosts=(facts("a"),), environment=environment)
    assert worth(ours, "nccl-address-unreachable") is None
