"""Wrong settings of NCCL, each named with its cause by `commcheck lint`, which asks the installed libnccl itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commcheck.catalog.env import nccl_conf
from commcheck.catalog.env.nccl_versions import NEWEST, OLDEST, read_by, since
from commcheck.predict.nccl_interfaces import OUTSIDE
from commcheck.probe.nccl_find import VARIABLE, find
from commcheck.probe.nccl_library import ask

FOUND = find(os.environ)
needs_library = pytest.mark.skipif(
    not FOUND.path, reason=f"no libnccl here: install nvidia-nccl-cu12, or name one in {VARIABLE}"
)
SEVERAL = {"WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1",
           "MASTER_PORT": "29500"}  # fmt: skip
ROOT = Path(__file__).parents[2]


def lint(environment, home, *options, library=True):
    """The report of lint in a process of its own, whose environment has nothing but what is given."""
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    named = {VARIABLE: FOUND.path} if library else {}
    done = subprocess.run(
        [sys.executable, "-m", "commcheck", "lint", "--format", "json", *options],
        env={**base, **named, **environment}, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    return json.loads(done.stdout)


def said(report, cause):
    """Title and evidence of a cause, as one text."""
    found = next((d for d in report["diagnoses"] if d["cause"] == cause), None)
    assert found is not None, [(d["cause"], d["title"]) for d in report["diagnoses"]]
    return " ".join((found["title"], *(e["text"] for e in found["evidence"]), *(f["text"] for f in found["fixes"])))


N = "NCCL_SOCKET_IFNAME"
WRONG = [
    # what is set, the lines of ~/.nccl.conf, the cause, and what is said of it
    ("no such interface", {N: "nope"}, "", "nccl-no-interface", "no interface of this host begins with nope"),
    (
        "exact, and none is called so",
        {N: "=l"},
        "",
        "nccl-no-interface",
        "is called exactly l (as = asks for); lo begins so",
    ),
    ("= before each name", {N: "=nope,=lo"}, "", "nccl-no-interface", "= counts at the begin of the whole list alone"),
    ("a blank in the list", {N: "nope, lo"}, "", "nccl-no-interface", "the blank belongs to the name"),
    ("capital letters", {N: "LO"}, "", "nccl-no-interface", "names are taken to the letter, and this host's is lo"),
    (
        "all left out",
        {N: "^lo,e,i,d,v,w,b,t,s,g,a,c,u"},
        "",
        "nccl-no-interface",
        "leaves out every interface of this host",
    ),
    ("no address of the family", {N: "=lo", "NCCL_SOCKET_FAMILY": "AF_INET6"}, "", "nccl-no-interface", "lo has no"),
    ("loopback, several hosts", {**SEVERAL, N: "lo"}, "", "nccl-address-unreachable", "connect to 127.0.0.1 (lo)"),
    ("no port and no host", {"NCCL_COMM_ID": ":29500"}, "", "nccl-comm-id", "nothing stands before the colon"),
    ("IPv6 without brackets", {"NCCL_COMM_ID": "::1:29500"}, "", "nccl-comm-id", "nothing stands before the colon"),
    ("bracket not closed", {"NCCL_COMM_ID": "[fd00::1:29500"}, "", "nccl-comm-id", "the bracket is not closed"),
    (
        "another network's root",
        {"NCCL_COMM_ID": "203.0.113.9:1"},
        "",
        "nccl-comm-id",
        "no interface of this host is in that",
    ),
    ("an integer out of range", {"NCCL_IB_TIMEOUT": "99"}, "", "env-malformed", "NCCL_IB_TIMEOUT=99 is not"),
    ("no number", {"NCCL_BUFFSIZE": "4M"}, "", "env-malformed", "NCCL_BUFFSIZE=4M is not"),
    ("no such family", {"NCCL_SOCKET_FAMILY": "ipv4"}, "", "env-malformed", "one of AF_INET, AF_INET6"),
    ("misspelt", {"NCCL_SOCKET_IFNAMES": "lo"}, "", "env-unknown", "did you mean NCCL_SOCKET_IFNAME?"),
    ("made up", {"NCCL_TURBO": "1"}, "", "env-unknown", "names in libnccl"),
    ("obsolete", {"NCCL_IB_CUDA_SUPPORT": "1"}, "", "env-unknown", "NCCL_IB_CUDA_SUPPORT is obsolete"),
    (
        "file against environment",
        {"NCCL_DEBUG": "WARN"},
        "NCCL_DEBUG=INFO",
        "nccl-config-file",
        "the environment has NCCL_DEBUG",
    ),
    ("blanks in the file", {}, "NCCL_DEBUG = INFO", "nccl-config-file", "sets 'NCCL_DEBUG ' and not NCCL_DEBUG"),
    ("quotes in the file", {}, 'NCCL_DEBUG="INFO"', "nccl-config-file", "blanks and quotes belong to the value"),
    ("export in the file", {}, "export NCCL_DEBUG=INFO", "nccl-config-file", "and not NCCL_DEBUG"),
    ("misspelt in the file", {}, "NCCL_DEBUGG=INFO", "nccl-config-file", "did you mean NCCL_DEBUG?"),
    ("a bad interface in the file", {}, f"{N}=nope", "nccl-no-interface", "nope"),
    ("no such file", {"NCCL_CONF_FILE": "~/x.conf"}, "", "nccl-config-file", "~ is not expanded"),
    ("InfiniBand without a card", {"NCCL_NET": "IB"}, "", "nccl-no-rdma", "this host has none"),
    ("cards that are not there", {"NCCL_IB_HCA": "zz5"}, "", "nccl-no-rdma", "NCCL_IB_HCA=zz5"),
    ("InfiniBand on and off", {"NCCL_NET": "IB", "NCCL_IB_DISABLE": "1"}, "", "env-conflict", "turns it off"),
    ("no such plug-in", {"NCCL_NET_PLUGIN": "zz"}, "", "nccl-plugin-missing", "libnccl-net-zz.so"),
]


@needs_library
@pytest.mark.parametrize(("environment", "file", "cause", "text"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_setting_is_named(environment, file, cause, text, tmp_path) -> None:
    version = ask({"HOME": str(tmp_path)}, library=FOUND.path).library.version
    if (file and version < nccl_conf.HOME_SINCE) or (
        "NCCL_CONF_FILE" in environment and version < nccl_conf.NAMED_SINCE
    ):
        pytest.skip("this NCCL reads other files")
    if file:
        (tmp_path / ".nccl.conf").write_text(f"{file}\n", encoding="utf-8")
    if cause == "nccl-no-rdma" and os.path.isdir("/sys/class/infiniband"):
        pytest.skip("this host has InfiniBand cards")
    # A file alone is no reason to think that NCCL is used.
    turned = "no interface of this host is in that" in text and version in OUTSIDE  # NCCL 2.29's own bug
    report = lint(environment, tmp_path, *(("--backend", "nccl") if file or "WORLD_SIZE" in environment else ()))
    assert ("which is in another network" if turned else text) in said(report, cause)
    if cause in {"nccl-no-interface", "nccl-comm-id"}:
        assert report["verdict"] == "unhealthy"
        assert turned or "ncclGetUniqueId returned" in said(report, cause)


@needs_library
@pytest.mark.parametrize(
    "environment",
    [{}, {N: "lo"}, {N: "^nope"}, {"NCCL_DEBUG": "INFO", "NCCL_IB_DISABLE": "1"}, {"NCCL_SOCKET_FAMILY": "AF_INET"}],
    ids=str,
)
def test_right_settings_are_left_in_peace(environment, tmp_path) -> None:
    report = lint(environment, tmp_path, "--backend", "nccl")
    assert report["verdict"] == "healthy"
    assert not [d["title"] for d in report["diagnoses"] if d["confidence"] >= 0.45]
    assert any("it reads" in note and FOUND.path in note for note in report["notes"])
    assert any(note.startswith("NCCL forms communicators from ") for note in report["notes"])


@needs_library
def test_nothing_is_written_where_the_job_would_write(tmp_path) -> None:
    log = tmp_path / "nccl.log"
    lint({"NCCL_DEBUG": "INFO", "NCCL_DEBUG_FILE": str(log)}, tmp_path)
    (tmp_path / ".nccl.conf").write_text(f"NCCL_DEBUG_FILE={log}\nNCCL_DEBUG=INFO\n", encoding="utf-8")
    lint({"NCCL_IB_DISABLE": "1"}, tmp_path)
    assert not log.exists()


@needs_library
def test_the_table_of_versions_is_the_librarys_own_list(tmp_path) -> None:
    facts = ask({"HOME": str(tmp_path)}, library=FOUND.path)
    assert facts.library is not None
    minor = facts.library.version // 100 % 100
    if not OLDEST <= minor <= NEWEST or minor < 16:
        pytest.skip(f"the table does not have NCCL {facts.library.text}")
    # What else looks like a name in the library's texts belongs to its interface for programs.
    theirs = {n for n in facts.library.names if not n.endswith("_INITIALIZER") and "_CONNECTION_" not in n}
    assert theirs - set(since()) <= {"NCCL_IB_MAX_DEVS_PER_NIC", "NCCL_IB_RECV_WR_ID_DUMMY",
                                     "NCCL_IB_RESILIENCY_PORT_RECOVERY_ACK_MSG_ID"}  # fmt: skip
    # A patch release may bring a name or two.
    assert len(read_by(minor) ^ (theirs & set(since()))) <= 8


@needs_library
def test_the_libraries_parameters_are_read(tmp_path) -> None:
    library = ask({"HOME": str(tmp_path), "NCCL_DEBUG_SUBSYS": "NET"}, library=FOUND.path).library
    assert library is not None
    if library.version < 23000:
        assert library.parameters == ()
        return
    known = {p.name: p for p in library.parameters}
    assert known["NCCL_SET_THREAD_NAME"].kind == "bool"
    assert known["NCCL_SET_THREAD_NAME"].default == "FALSE"
    assert "BOOTSTRAP" in known["NCCL_DEBUG_SUBSYS"].accepted


def test_a_missing_library_is_said_and_the_rest_is_judged(tmp_path) -> None:
    report = lint({N: "nope"}, tmp_path, "--nccl-library", str(tmp_path / "libnccl.so.2"), library=False)
    assert any("no libnccl was found" in line and "no such file" in line for line in report["not_evaluated"])
    text = said(report, "nccl-no-interface")
    assert "there is no libnccl to ask" in text
    assert next(d["confidence"] for d in report["diagnoses"] if d["cause"] == "nccl-no-interface") <= 0.7


def test_a_file_that_is_no_library_is_said(tmp_path) -> None:
    (tmp_path / "libnccl.so.2").write_bytes(b"\x7fELF, and not really")
    report = lint({}, tmp_path, "--nccl-library", str(tmp_path), library=False)
    assert any("cannot be loaded" in line for line in report["not_evaluated"])


def test_a_shell_without_nccl_asks_nothing(tmp_path) -> None:
    if os.path.exists("/proc/driver/nvidia/version"):
        pytest.skip("a GPU is a reason to ask")
    report = lint({}, tmp_path, library=False)
    assert not any("nccl" in line.lower() for line in (*report["notes"], *report["not_evaluated"]))
    told = lint({N: "nope"}, tmp_path, "--backend", "gloo", library=False)
    assert not any(d["cause"].startswith("nccl") for d in told["diagnoses"])


@needs_library
def test_torch_is_not_imported_for_it(tmp_path) -> None:
    code = (
        "import sys; from commcheck.cli.main import main\n"
        "main(['lint', '--backend', 'nccl', '--quiet', '--output', sys.argv[1]]); print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "report")],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), VARIABLE: FOUND.path},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert "commcheck.cli.lint_nccl" in loaded
    assert not loaded & {"torch", "numpy", "multiprocessing", "asyncio", "commcheck.worker"}
