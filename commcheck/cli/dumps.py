"""Dumps among the paths of `commcheck diagnose`: PyTorch's flight recorder and py-spy, known by what is in the files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from commcheck.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from commcheck.diagnose.ingest import flight_recorder, py_spy
    from commcheck.model.case import Case

_HEAD = 1 << 13
_LARGEST = 1 << 28
"""Bytes of a file that is taken for a dump; a recorder's full buffer has some MB."""
_MOST_FILES = 20_000
_BEGINNINGS = (b"{", b"\x80", b"}", b"(d", b"[", b"Process ")


def take(paths: list[str]) -> tuple[Case | None, list[str]]:
    """The case of the dumps in `paths`, None where there are none, and the paths that may hold something else.

    Raises InputError for a dump that cannot be read as what it looks like."""
    rest: list[str] = []
    recorded: list[flight_recorder.Dump] = []
    stacks: list[tuple[str, py_spy.Stack]] = []
    for path in dict.fromkeys(paths):
        before = len(recorded) + len(stacks)
        directory = path != "-" and os.path.isdir(path)
        files = _files(path) if directory else [path]
        others = 0
        for file in files:
            data = _dump(file)
            if data is None:
                others += 1
            else:
                _read(file, data, recorded, stacks)
        if len(recorded) + len(stacks) == before or (directory and others):
            rest.append(path)
    if recorded:
        from commcheck.diagnose.recorded import case_of

        return case_of(tuple(recorded)), rest
    if stacks:
        from commcheck.diagnose.ingest.py_spy import case_of as case_of_stacks

        return case_of_stacks(tuple(stacks)), rest
    return None, rest


def _read(file: str, data: bytes, recorded: list[flight_recorder.Dump], stacks: list[tuple[str, py_spy.Stack]]) -> None:
    """Add one file's dump to its kind."""
    from commcheck.diagnose.ingest import flight_recorder, py_spy

    if py_spy.is_dump(data):
        stacks.extend((file, stack) for stack in py_spy.parse(data))
    else:
        recorded.append(flight_recorder.parse(file, data))


def joined(dumped: Case, logs: Case) -> Case:
    """What dumps and logs of one job say together."""
    from commcheck.model.case import Ended

    ended = logs.ended if logs.ended is Ended.FAILED and dumped.ended is Ended.NOT_RUN else dumped.ended
    return replace(dumped, lines=logs.lines, ended=ended, not_read=(*dumped.not_read, *logs.not_read))


def case_with(dumped: Case, paths: list[str], read: Callable[[list[str]], Case]) -> Case:
    """`dumped` with the logs in `paths` as `read` gives them. A directory of dumps need not hold a log besides."""
    if not paths:
        return dumped
    try:
        return joined(dumped, read(paths))
    except InputError:
        if all(os.path.isdir(path) for path in paths):
            return dumped
        raise


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
            if not head.lstrip().startswith(_BEGINNINGS) or os.fstat(file.fileno()).st_size > _LARGEST:
                return None
            data = head + file.read()
    except OSError:
        return None
    from commcheck.diagnose.ingest import flight_recorder, py_spy  # few logs begin like a dump

    return data if flight_recorder.is_dump(data) or py_spy.is_dump(data) else None
