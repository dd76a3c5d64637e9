"""commcheck's own reports among the paths of `commcheck diagnose`: JSON of `--format json` and `run --report`, and files
of single ranks that `preflight --report-dir` left. They are told by their first field, whatever they are called.

A report is shown as it was judged: what it was judged by is not in it. Several are shown as one.
"""

from __future__ import annotations

import os
import stat

import msgspec
from msgspec.structs import replace

from commcheck.cli.reading import may_be_log
from commcheck.errors import InputError, UsageError
from commcheck.model.case import Case
from commcheck.model.diagnosis import SCHEMA, Diagnosis, Report, Role, Verdict

_HEAD = 512
_REPORT, _RANK = b'"commcheck/report/', b'"commcheck/rank/'
_LARGEST = 1 << 28
_ANSWER = (Verdict.UNHEALTHY, Verdict.INCONCLUSIVE, Verdict.HEALTHY)
_NAMED = 20
"""Reports that are named in the notes of one that shows them together."""


def shown(paths: list[str]) -> Report | None:
    """The reports in files or directories, as one; None where there are none.

    Raises UsageError where something else is given with them, InputError for one that cannot be read."""
    files = [(path, _reports_in(path)) for path in dict.fromkeys(paths)]
    if not any(found for _, found in files):
        return None
    for path, found in files:
        if not found:
            one = next(found[0] for _, found in files if found)
            raise UsageError(f"{one} is a report of commcheck, {path} is none: diagnose them apart")
    return together(tuple((name, _read(name)) for _, found in files for name in found))


def ranks(paths: list[str]) -> Case | None:
    """The case of files of single ranks; None where not all paths are such files."""
    if not paths or not all(_begins(path, _RANK) for path in paths):
        return None
    from pathlib import Path

    from commcheck.runtime.reports import current, merged, read

    return merged(current(tuple(read(Path(path)) for path in dict.fromkeys(paths))), complete=False)


def together(reports: tuple[tuple[str, Report], ...]) -> Report:
    """Several reports as one: the worst verdict, and every diagnosis once, the most certain first. At least one."""
    if len(reports) == 1:
        ((name, report),) = reports
        return replace(report, notes=(*report.notes, f"{name} is shown as it was judged then"))
    every = [report for _, report in reports]
    diagnoses: dict[tuple[str, Role, tuple[int, ...], tuple[str, ...]], Diagnosis] = {}
    for diagnosis in sorted(
        (d for r in every for d in r.diagnoses), key=lambda d: (d.role is not Role.ROOT, -d.confidence)
    ):
        diagnoses.setdefault((diagnosis.cause, diagnosis.role, diagnosis.ranks, diagnosis.hosts), diagnosis)
    notes = [f"{name}: {_in_short(report)}" for name, report in reports[:_NAMED]]
    if len(reports) > _NAMED:
        notes.append(f"and {len(reports) - _NAMED} more reports")
    return Report(
        schema=SCHEMA,
        verdict=next(v for v in _ANSWER if any(r.verdict is v for r in every)),
        command=("commcheck", "diagnose", *(name for name, _ in reports)),
        versions={k: v for k, v in every[0].versions.items() if all(r.versions.get(k) == v for r in every)},
        world=None,
        phases=(),
        diagnoses=tuple(diagnoses.values()),
        not_evaluated=tuple(dict.fromkeys(text for r in every for text in r.not_evaluated)),
        next=tuple(dict.fromkeys(text for r in every for text in r.next)),
        replay="",
        seconds=max(r.seconds for r in every),
        notes=("several reports, each as it was judged then", *notes),
    )


def _in_short(report: Report) -> str:
    causes = ", ".join(d.cause for d in report.diagnoses if d.role is Role.ROOT)
    return f"{report.verdict.value} ({causes})" if causes else report.verdict.value


def _reports_in(path: str) -> list[str]:
    """The reports that a path is or, where it holds nothing that may be a log, has in it."""
    try:
        if not os.path.isdir(path):
            return [path] if _begins(path, _REPORT) else []
        names = sorted(os.listdir(path))
    except (OSError, ValueError):
        return []
    files = [os.path.join(path, name) for name in names if name.endswith(".json")]
    if not files or any(may_be_log(name) for name in names if os.path.isfile(os.path.join(path, name))):
        return []
    return [file for file in files if _begins(file, _REPORT)]


def _begins(path: str, schema: bytes) -> bool:
    """Whether a file is JSON that begins with the schema of ours."""
    try:
        if path == "-" or not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return False
    return head.lstrip().startswith(b"{") and b'"schema"' in head and schema in head


def _read(path: str) -> Report:
    """One report. Raises InputError that names the file and what to do."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST)
        schema = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("schema", msgspec.Raw(b"null"))
        if msgspec.json.decode(schema) != SCHEMA:
            raise InputError(f"{path} is of another schema than {SCHEMA}: read it with the commcheck that wrote it")
        return msgspec.json.decode(data, type=Report)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: make it readable") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no whole report of commcheck ({error}): copy it again") from error
