"""Real failures: how often the cause is found, and that healthy logs raise no alarm. Prints its figures (`-s`)."""

import json
from pathlib import Path
from typing import Any

import pytest

from commcheck.diagnose.logs import case_from_text
from commcheck.diagnose.match import judge

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus-dev.jsonl"
LABELS = CORPUS.with_name("corpus-labels.json")

pytestmark = pytest.mark.skipif(not (CORPUS.is_file() and LABELS.is_file()), reason=f"no corpus at {CORPUS}")

# Floors, not aims: wordings are written from the libraries' sources, not for these rows.
TOP1, TOP3 = 0.85, 0.93


def _judged() -> list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, float]]]]:
    labels: dict[str, Any] = json.loads(LABELS.read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [
        (
            row,
            labels.get(row["category"], {}),
            [
                (d.cause, d.confidence)
                for d in judge(case_from_text([(row["id"], row["symptom_text"].encode())])).diagnoses
            ],
        )
        for row in rows
    ]


def test_accuracy_and_false_alarms() -> None:
    judged = _judged()
    wanted = [
        (row, label["causes"], found) for row, label, found in judged if label.get("causes") and row["log_sufficient"]
    ]
    top1 = sum(any(cause in causes for cause, _ in found[:1]) for _, causes, found in wanted) / len(wanted)
    top3 = sum(any(cause in causes for cause, _ in found[:3]) for _, causes, found in wanted) / len(wanted)
    negatives = [(row, found) for row, label, found in judged if label.get("negative")]
    alarms = [row["id"] for row, found in negatives if row["category"] == "healthy" and any(c >= 0.5 for _, c in found)]
    blamed = [
        row["id"]
        for row, found in negatives
        if any(c >= 0.5 and cause not in {"script-error", "unclassified"} for cause, c in found)
    ]
    print(
        f"\n{len(wanted)} failures: top-1 {top1:.1%}, top-3 {top3:.1%}; {len(negatives)} negatives: {len(alarms)} alarms, {len(blamed)} blamed on communication"
    )
    assert top1 >= TOP1
    assert top3 >= TOP3
    assert not alarms
    assert not blamed
