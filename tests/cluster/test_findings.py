"""The findings in docs/ can be seen again: each bundle's world gives what was recorded."""

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).parents[2] / "docs" / "findings"
BUNDLES = sorted(FOLDER.glob("*.zip"))
SCENARIOS = {path.read_bytes() for path in (FOLDER.parents[1] / "scenarios").rglob("*.toml")}
OWN = [path for path in BUNDLES if path.with_suffix(".toml").read_bytes() not in SCENARIOS]
"""Those whose world is not among the scenarios, which have tests of their own."""


def test_every_finding_has_its_text_its_declaration_and_its_bundle():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(BUNDLES) >= 10
    for bundle in BUNDLES:
        assert f"({bundle.name})" in text
        assert bundle.with_suffix(".toml").is_file()


FEW = {"loopback-of-one", "bool-sum", "trailing-comma"}


@pytest.mark.parametrize(
    "bundle",
    [b if b.stem in FEW else pytest.param(b, marks=pytest.mark.whole) for b in OWN],
    ids=lambda path: path.stem,
)
def test_a_finding_is_seen_again(bundle):
    command = [sys.executable, "-m", "commcheck", "replay", str(bundle), "--quiet", "--no-fix"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert "again: " in done.stdout, done.stdout + done.stderr
