"""The shape of the tree: small modules, each explained, each package with its limits stated."""

import ast
from pathlib import Path

import pytest

import commcheck

PACKAGE = Path(commcheck.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES = 400


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def test_no_module_is_too_long() -> None:
    sizes = {name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {n: s for n, s in sizes.items() if s > LINES} == {}


def test_every_module_is_explained() -> None:
    assert [name(p) for p in MODULES if not docstring(p)] == []


@pytest.mark.parametrize("path", [p for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()], ids=lambda p: p.name)
def test_every_package_says_what_may_not_be_in_it(path: Path) -> None:
    assert "may not be" in docstring(path / "__init__.py").lower()


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {p.parent for p in MODULES}
    assert sorted(name(f) for f in folders if not (f / "__init__.py").is_file()) == []


def test_no_bare_except() -> None:
    guilty = [
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert guilty == []


def test_the_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
