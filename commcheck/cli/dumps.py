"""Dumps among the paths of `commcheck diagnose`: PyTorch's flight recorder, py-spy, and the JSON of NCCL's RAS, known by
what is in the files. Of what `ncclras` prints as text the reader of logs takes care."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from commcheck.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from commcheck.cli.reading import Read
    from commcheck.diagnose.ingest import flight_recorder, py_spy
    from commcheck.model.case import Case
    from commcheck.model.ras import Answer

_HEAD = 1 << 13
_LARGEST = 1 << 28
"""Bytes of a file that is taken for a dump; a recorder's full buffer has some MB."""
_MOST_FILES = 20_000
_BEGINNINGS = (b"{", b"\x80", b"}", b"(d", b"Process ")
_FRAMES = b'"frames"'  # soon after the "[" with which py-spy's JSON begins, as many a log does


class Taken:
    """The case of the dumps among some paths, None where there are none; the paths that may hold something else; and
    whether the reading was interrupted."""

    def __init__(self, case: Case | None, rest: list[str], *, interrupted: bool) -> None:
        self.case, self.rest, self.interrupted = case, rest, interrupted


def take(paths: list[str]) -> Taken:
    """Find and read the dumps in `paths`. Ctrl-C ends it, with what was read until then.

    Raises InputError for a dump that cannot be read as what it looks like."""
    rest: list[str] = []
    recorded: list[flight_recorder.Dump] = []
    stacks: list[tuple[str, py_spy.Stack]] = []
    answers: list[Answer] = []
    interrupted = False
    try:
        for path in dict.fromkeys(paths):
            before = len(recorded) + len(stacks) + len(answers)
            directory = path != "-" and os.path.isdir(path)
            others = 0
            for file in _files(path) if directory else [path]:
                data = _dump(file)
                if data is None:
                    others += 1
                else:
                    _read(file, data, recorded, stacks, answers)
            if len(recorded) + len(stacks) + len(answers) == before or (directory and others):
                rest.append(path)
    except KeyboardInterrupt:
        interrupted = True
    case = None
    if recorded:
        from commcheck.diagnose.recorded import case_of

        case = case_of(tuple(recorded))
        if stacks:
            from commcheck.diagnose.ingest.py_spy import beside

            case = beside(case, tuple(stacks))
    elif stacks:
        from commcheck.diagnose.ingest.py_spy import case_of as case_of_stacks

        case = case_of_stacks(tuple(stacks))
    if answers:
        case = _with_answers(case, answers)
    return Taken(case, rest, interrupted=interrupted)


def _with_answers(case: Case | None, answers: list[Answer]) -> Case:
    """What RAS has said, in the order in which it was said, beside what other dumps tell."""
    from commcheck.model.case import Case, Ended, Origin

    ordered = tuple(sorted(answers, key=lambda answer: answer.seconds or 0.0))
    if case is not None:
        return replace(case, ras=ordered)
    ended = Ended.FAILED if ordered[-1].failed else Ended.NOT_RUN
    return Case(origin=Origin.LOG, ras=ordered, complete=False, ended=ended)


def _read(
    file: str,
    data: bytes,
    recorded: list[flight_recorder.Dump],
    stacks: list[tuple[str, py_spy.Stack]],
    answers: list[Answer],
) -> None:
    """Add one file's dump to its kind."""
    from commcheck.diagnose.ingest import flight_recorder, py_spy, ras_json

    if ras_json.is_answer(data):
        answers.extend(ras_json.parse(file, data))
    elif py_spy.is_dump(data):
        stacks.extend((file, stack) for stack in py_spy.parse(data))
    else:
        recorded.append(flight_recorder.parse(file, data))


def joined(dumped: Case, logs: Case) -> Case:
    """What dumps and logs of one job say together."""
    from commcheck.model.case import Ended

    ended = logs.ended if logs.ended is Ended.FAILED and dumped.ended is Ended.NOT_RUN else dumped.ended
    return replace(
        dumped, lines=logs.lines, ras=dumped.ras or logs.ras, ended=ended, not_read=(*dumped.not_read, *logs.not_read)
    )


def with_logs(taken: Taken, read: Callable[[list[str]], Read]) -> Read:
    """The dumps that were taken, with what `read` gives of the other paths. A directory of dumps need not hold a log
    besides."""
    from commcheck.cli.reading import Read
    from commcheck.model.case import Case, Origin

    dumped = taken.case
    if taken.interrupted:
        notes = ("interrupted: not all files were read",)
        return Read(Case(origin=Origin.LOG) if dumped is None else dumped, notes, interrupted=True)
    if dumped is None:
        return read(taken.rest)
    if not taken.rest:
        return Read(dumped)
    try:
        found = read(taken.rest)
    except InputError:
        if all(os.path.isdir(path) for path in taken.rest):
            return Read(dumped)
        raise
    return Read(joined(dumped, found.case), found.notes, interrupted=found.interrupted)


def _files(directory: str) -> list[str]:
    found: list[str] = []
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.extend(os.path.join(folder, name) for name in sorted(files))
        if len(found) > _MOST_FILES:
            break  # the reader of logs says so
    return found


def _dump(path: str) -> bytes | None:
    """A file's bytes if they are a dump; what cannot be read is left to the reader of logs, which says why."""
    if path == "-" or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            start = head.lstrip()
            if not start.startswith(_BEGINNINGS) and not (start.startswith(b"[") and _FRAMES in head):
                return None
            if os.fstat(file.fileno()).st_size > _LARGEST:
                return None
            data = head + file.read()
    except OSError:
        return None
    from commcheck.diagnose.ingest import flight_recorder, py_spy, ras_json  # few logs begin like a dump

    return data if flight_recorder.is_dump(data) or py_spy.is_dump(data) or ras_json.is_answer(data) else None
