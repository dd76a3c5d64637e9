"""Start-up is a feature: what a light command loads, and what the pure packages may not know."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import commcheck

PACKAGE = Path(commcheck.__file__).parent
ROOT = PACKAGE.parent
HEAVY = {"torch", "hypothesis", "numpy", "pytest", "pyroute2", "jinja2"}

# What tells a module about the world outside: in the pure packages it comes in as an argument.
EFFECTS = {
    "asyncio", "ctypes", "fcntl", "glob", "multiprocessing", "netifaces", "os", "pathlib", "psutil", "random", "secrets",
    "select", "shutil", "socket", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip


def loaded(*arguments: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """The modules that a command has loaded by its end, in a fresh interpreter."""
    code = (
        "import sys\n"
        "from commcheck.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "print('\\nMODULES', *sorted(sys.modules))\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stdout.rpartition("MODULES ")[2].split()), done


def imports(path: Path) -> set[str]:
    """The top-level names of all modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def sources(*parts: str) -> list[Path]:
    base = PACKAGE.joinpath(*parts)
    return sorted(base.rglob("*.py")) if base.is_dir() else [base]


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import commcheck; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["commcheck"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_almost_nothing(arguments: list[str]) -> None:
    modules, done = loaded(*arguments)
    assert done.returncode == 0
    assert not modules & (HEAVY | {"argparse", "msgspec", "psutil", "netifaces", "rich", "dataclasses", "re", "json"})


@pytest.mark.parametrize("arguments", [["lint", "--format", "json"], ["explain"], ["explain", "port-dropped"]])
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    modules, done = loaded(*arguments)
    assert done.returncode in {0, 1, 3}, done.stderr
    assert "commcheck.cli." + arguments[0] in modules
    assert not modules & (HEAVY | {"rich", "multiprocessing", "asyncio", "dataclasses"})


def test_diagnose_loads_nothing_heavy(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("[rank0]: RuntimeError: Unable to find address for: nope0\n")
    modules, done = loaded("diagnose", str(log), "--format", "json")
    assert done.returncode in {0, 1, 3}, done.stderr
    assert not modules & (HEAVY | {"rich", "psutil", "netifaces", "asyncio"})


@pytest.mark.parametrize("part", ["model", "catalog", "diagnose", "planner.py"])
def test_pure_packages_know_nothing_of_the_world_outside(part: str) -> None:
    guilty = {str(p.relative_to(ROOT)): found for p in sources(part) if (found := imports(p) & EFFECTS)}
    assert guilty == {}


@pytest.mark.parametrize("part", ["generate", "predict"])
def test_what_is_drawn_and_predicted_depends_on_arguments_alone(part: str) -> None:
    seeded = {"random"}  # a generator with a seed, made where it is used
    guilty = {str(p.relative_to(ROOT)): found for p in sources(part) if (found := imports(p) & (EFFECTS - seeded))}
    assert guilty == {}
    assert not [p for p in sources(part) if "hypothesis" in imports(p) and p.name != "strategies.py"]


def test_torch_is_the_workers_alone() -> None:
    guilty = [str(p.relative_to(ROOT)) for p in sources(".") if "worker" not in p.parts and "torch" in imports(p)]
    assert guilty == []
    assert any("torch" in imports(p) for p in sources("worker"))


def test_nobody_imports_the_worker() -> None:
    for path in sources("."):
        if "worker" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.startswith("commcheck.worker")], path
