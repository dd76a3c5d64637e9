"""In which line of a TOML text a value stands. The standard library's parser gives values, and no places. Pure."""

from __future__ import annotations

import re

Key = str | int

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")


def line_of(text: str, path: tuple[Key, ...]) -> int | None:
    """The line (from 1) of the value at `path`, or of the nearest table or key around it that has a line of its own.

    Multi-line strings are not told from keys; a wrong line is the worst that comes of it."""
    best: tuple[int, int] | None = None
    for number, where in _places(text):
        depth = _shared(where, path)
        if depth and depth == len(where) and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best else None


def _places(text: str) -> list[tuple[int, tuple[Key, ...]]]:
    """Every header and assignment: its line, and the path that it sets."""
    found: list[tuple[int, tuple[Key, ...]]] = []
    table: tuple[Key, ...] = ()
    counts: dict[tuple[Key, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            table = _indexed(_split(header[2]), counts, new=header[1] == "[[")
            found.append((number, table))
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment is not None:
            found.append((number, (*table, *_split(assignment[1]))))
    return found


def _indexed(names: tuple[str, ...], counts: dict[tuple[Key, ...], int], *, new: bool) -> tuple[Key, ...]:
    """The path of a header; arrays of tables get the number of their last element."""
    path: tuple[Key, ...] = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if new and position == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _shared(where: tuple[Key, ...], path: tuple[Key, ...]) -> int:
    """How many keys both have in common from the front."""
    depth = 0
    for a, b in zip(where, path, strict=False):
        if a != b:
            break
        depth += 1
    return depth
