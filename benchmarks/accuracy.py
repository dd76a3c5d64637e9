"""How often `commcheck diagnose` is right about real failures: `python benchmarks/accuracy.py [FILE.jsonl ...]`.

A file has one failure per line, as a JSON object: `id`, `symptom_text` (what the software printed), and what is known of it:
`causes` (ids of commcheck's causes that count as right), or a `category` that `corpus-labels.json` beside the file
translates into such causes; `symptom`, where it is one of the 30 ids (a list counts as alternatives); `negative` (or a
category so labelled) for what is healthy or no matter of communication. `log_sufficient: false` leaves a row out of the
figures, since its lines do not show what happened. Without arguments: the corpus beside the repository, where it is.

Prints how often the first answer is right, and one of the first three; false alarms; precision and recall of every cause
and symptom; and the confusion matrix, of which only what is off the diagonal is listed. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from commcheck.diagnose.logs import case_from_text  # noqa: E402
from commcheck.diagnose.match import FLAGGED, judge  # noqa: E402
from commcheck.model.diagnosis import Role  # noqa: E402
from commcheck.model.taxonomy import Symptom  # noqa: E402

CORPUS = ROOT.parent / "shared" / "corpus-dev.jsonl"
TOP_1, TOP_3, ALARMS = 0.85, 0.95, 0.03
NO_COMMUNICATION = frozenset({"script-error", "unclassified", "memory-exhausted", "disk-full", "rank-exited"})
"""Causes that blame no communication; on a log that is no matter of communication they are no false alarm."""
SYMPTOMS = frozenset(s.value for s in Symptom)
NOTHING = "(nothing)"


class Row(NamedTuple):
    """A failure with what is known of it, and what commcheck says: (cause, symptom, confidence), the best first."""

    name: str
    causes: frozenset[str]
    symptoms: frozenset[str]
    negative: bool
    healthy: bool
    said: tuple[tuple[str, str, float], ...]


def rows_of(path: Path) -> list[Row]:
    """The judged rows of a file."""
    beside = path.with_name("corpus-labels.json")
    labels: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text = row["symptom_text"]
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path}:{number}: not a row of a corpus ({error}); see --help for its fields") from error
        if row.get("log_sufficient") is False:
            continue
        label = labels.get(row.get("category", ""), {})
        symptom = row.get("symptom") or ()
        symptoms = frozenset([symptom] if isinstance(symptom, str) else symptom) & SYMPTOMS
        diagnoses = judge(case_from_text([(str(row["id"]), text.encode())])).diagnoses
        roots = [d for d in diagnoses if d.role is Role.ROOT] + [d for d in diagnoses if d.role is not Role.ROOT]
        found.append(
            Row(
                name=str(row["id"]),
                causes=frozenset(row.get("causes") or label.get("causes") or ()),
                symptoms=symptoms,
                negative=bool(row.get("negative") or label.get("negative")),
                healthy=row.get("category") == "healthy",
                said=tuple((d.cause, d.symptom.value, d.confidence) for d in roots),
            )
        )
    return found


def said_of(row: Row, part: int, count: int) -> list[str]:
    """The first `count` different causes (part 0) or symptoms (part 1)."""
    return list(dict.fromkeys(str(answer[part]) for answer in row.said))[:count]


def figures(title: str, rows: Sequence[Row], part: int, right: Callable[[Row], frozenset[str]]) -> bool:
    """How often the first answers are right, precision and recall, and the confusion. Returns whether targets are met."""
    known = [row for row in rows if right(row) and not row.negative]
    if not known:
        return True
    top = {n: sum(not right(row).isdisjoint(said_of(row, part, n)) for row in known) / len(known) for n in (1, 3)}
    print(f"\n{title}: {len(known)} failures")
    good = [at_least(f"right at rank {'1' if n == 1 else '1 to 3'}", top[n], t) for n, t in ((1, TOP_1), (3, TOP_3))]
    pairs = [((said_of(row, part, 1) or [NOTHING])[0], right(row)) for row in known]
    confusion: Counter[tuple[str, str]] = Counter(
        ("|".join(sorted(wanted)), said) for said, wanted in pairs if said not in wanted
    )
    _table(pairs)
    print("  confusion (expected -> said, times)")
    for (wanted, said), times in sorted(confusion.items(), key=lambda item: (-item[1], item[0])):
        print(f"    {wanted} -> {said}  {times}")
    if not confusion:
        print("    none")
    return all(good)


def _table(pairs: Iterable[tuple[str, frozenset[str]]]) -> None:
    """Precision of every answer, recall of every expectation (where several answers are right, the one that was said)."""
    hits: Counter[str] = Counter()
    said_times: Counter[str] = Counter()
    wanted_times: Counter[str] = Counter()
    for said, wanted in pairs:
        said_times[said] += 1
        wanted_times[said if said in wanted else min(wanted)] += 1
        hits[said] += said in wanted
    print(f"  {'':<34}{'said':>6}{'precision':>11}{'expected':>10}{'recall':>8}")
    for name in sorted(said_times | wanted_times):
        precision = f"{hits[name] / said_times[name]:.2f}" if said_times[name] else "-"
        recall = f"{hits[name] / wanted_times[name]:.2f}" if wanted_times[name] else "-"
        print(f"  {name:<34}{said_times[name]:>6}{precision:>11}{wanted_times[name]:>10}{recall:>8}")


def alarms(rows: Sequence[Row]) -> bool:
    """Healthy logs that are called unhealthy, and failures of other kinds that communication is blamed for."""
    negatives = [row for row in rows if row.negative]
    if not negatives:
        return True
    false = [
        (row.name, cause, confidence)
        for row in negatives
        for cause, _, confidence in row.said[:1]
        if confidence >= FLAGGED and (row.healthy or cause not in NO_COMMUNICATION)
    ]
    print(f"\nhealthy and other logs: {len(negatives)}")
    share = len(false) / len(negatives)
    print(f"  false alarms {share:.1%}   (expected under {ALARMS:.0%}){'' if share < ALARMS else '   MISSED'}")
    for name, cause, confidence in false:
        print(f"    {name}: {cause} ({confidence:.2f})")
    return share < ALARMS


def at_least(text: str, value: float, bound: float) -> bool:
    print(f"  {text:<20} {value:6.1%}   (expected at least {bound:.0%}){'' if value >= bound else '   MISSED'}")
    return value >= bound


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.jsonl")
    files = parser.parse_args().files or [CORPUS]
    good = True
    for path in files:
        if not path.is_file():
            raise SystemExit(f"{path} is not there: give a file of labelled failures (see --help)")
        rows = rows_of(path)
        print(f"\n=== {path.name}: {len(rows)} rows")
        good = figures("cause", rows, 0, lambda row: row.causes) and good
        good = figures("symptom", rows, 1, lambda row: row.symptoms) and good
        good = alarms(rows) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
