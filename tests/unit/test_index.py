"""The index of rules and wordings: it is never older than the modules, and takes in no wording without its proof."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

import commcheck
from commcheck.diagnose import index, match
from commcheck.model.case import Case, Origin, RankRecord

_TABLE = "diagnose/signatures/strange.py"
_STRANGE = """
from commcheck.diagnose.signatures.table import Wording, table

SIGNATURES = table(
    Wording({"%s": 0.9}, r"the quux is in flummox \\d+", "in flummox", "a test", "the quux is in flummox 7", "all is well"),
)
"""
# What takes milliseconds to import, and no log needs.
_SLOW = {
    "ast", "asyncio", "dataclasses", "email", "hashlib", "inspect", "ipaddress", "json", "logging", "pathlib", "random",
    "shutil", "socket", "statistics", "subprocess", "tempfile", "threading", "tokenize", "urllib", "zipfile",
}  # fmt: skip
_RUN = """
import sys
from commcheck.cli.main import main

code = main(["diagnose", "--quiet", *sys.argv[1:]])
print("MODULES", *sorted(sys.modules))
sys.exit(code)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, whose modules a test can change."""
    copy = tmp_path / "commcheck"
    shutil.copytree(Path(commcheck.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "job.log").write_text("[rank3]: RuntimeError: the quux is in flummox 12\n", encoding="utf-8")
    return copy


def diagnosed(package: Path, *, writing: bool = True) -> tuple[int, str, set[str]]:
    """Exit code, what was said, and the modules that were imported, of `commcheck diagnose` from that package."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(package.parent)} | ({} if writing else {"PYTHONDONTWRITEBYTECODE": "1"})
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "job.log"],
        cwd=package.parent, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    said, _, modules = done.stdout.partition("MODULES")
    return done.returncode, said + done.stderr, set(modules.split())


def kept(package: Path) -> list[Path]:
    return sorted(package.rglob("*.json.*")) + sorted((package / "diagnose" / "__pycache__").glob("index*.json"))


def test_what_is_remembered_is_what_the_modules_say() -> None:
    assert index.index() == index.gathered()
    assert [listed.rule() for listed in index.index().rules] == sorted(index.rules().values(), key=lambda r: r.code)
    assert all(index.rules()[listed.cause].needs == listed.needs for listed in index.index().rules)
    assert "no-such-cause" not in index.rules()


def test_a_wording_is_seen_as_soon_as_it_is_written_and_no_longer_than_that(package: Path) -> None:
    for _ in range(2):
        _, said, _ = diagnosed(package)
        assert "flummox" in said
        assert "port-dropped" not in said
    (package / _TABLE).write_text(_STRANGE % "port-dropped", encoding="utf-8")
    for _ in range(2):
        assert "[CC115 port-dropped]" in diagnosed(package)[1]
    (package / _TABLE).write_text(_STRANGE % "disk-full", encoding="utf-8")
    for _ in range(2):
        _, said, _ = diagnosed(package)
        assert "disk-full]" in said
        assert "port-dropped" not in said
    (package / _TABLE).unlink()
    assert "disk-full" not in diagnosed(package)[1]


def test_a_change_that_keeps_the_size_is_seen(package: Path) -> None:
    (package / _TABLE).write_text(_STRANGE % "disk-full", encoding="utf-8")
    os.utime(package / _TABLE, (1e9, 1e9))  # Python's own compiled modules tell whole seconds apart
    assert "disk-full]" in diagnosed(package)[1]
    text = (package / _TABLE).read_text(encoding="utf-8")
    (package / _TABLE).write_text(text.replace("in flummox", "in flammox"), encoding="utf-8")
    assert "disk-full]" not in diagnosed(package)[1]


def test_a_log_imports_the_rules_that_it_is_about(package: Path) -> None:
    (package / _TABLE).write_text(_STRANGE % "disk-full", encoding="utf-8")
    code, first, every = diagnosed(package)
    again, second, few = diagnosed(package)
    assert (code, first.splitlines()[1:]) == (again, second.splitlines()[1:])
    rules = {name for name in few if name.startswith(index.RULES) and name.count(".") == 4}
    assert "commcheck.diagnose.rules.resources.disk_full" in rules
    assert len(rules) < 8
    assert not {name for name in few if name.startswith(index.SIGNATURES)}
    assert len(few) < len(every) - 90
    assert not few & _SLOW


def test_the_ranks_of_a_log_are_judged_where_more_than_their_names_is_known() -> None:
    named = RankRecord(slot=0, rank=3, world_size=None, host="a")
    assert "ranks" not in match._present(Case(origin=Origin.LOG, ranks=(named,)))
    assert "ranks" in match._present(Case(origin=Origin.LOG, ranks=(named, replace(named, pid=7))))
    assert "ranks" in match._present(Case(origin=Origin.WORLD, ranks=(named,)))


def test_where_python_writes_no_compiled_modules_no_index_is_written(package: Path) -> None:
    code, said, _ = diagnosed(package, writing=False)
    assert (code, kept(package)) == (1, [])
    assert diagnosed(package)[1].splitlines()[1:] == said.splitlines()[1:]
    assert len(kept(package)) == 1


def test_a_damaged_index_is_made_anew(package: Path) -> None:
    _, said, _ = diagnosed(package)
    (file,) = kept(package)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert diagnosed(package)[1].splitlines()[1:] == said.splitlines()[1:]
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        ('"all is well"', '""', "no negative"),
        ('"the quux is in flummox 7"', '" "', "no positive"),
        ('"a test"', '""', "no source"),
        ('"in flummox"', '""', "no literal"),
        ("disk-full", "disc-full", "no rule"),
    ],
)
def test_a_wording_that_lacks_something_does_not_load(package: Path, before: str, after: str, missing: str) -> None:
    text = _STRANGE % "disk-full"
    assert before in text
    (package / _TABLE).write_text(text.replace(before, after), encoding="utf-8")
    code, said, _ = diagnosed(package)
    assert code == 3
    assert "commcheck.diagnose.signatures.strange" in said
    assert missing in said
    assert ("disc-full" if missing == "no rule" else "disk-full") in said
    assert kept(package) == []
