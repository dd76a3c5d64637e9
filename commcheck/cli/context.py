"""The lines of a log around those that a report cites, for the form that has room for them.

Read again from the files, once the report is made: which lines are cited is not known before. What was piped in cannot
be read again, and what has gone or changed meanwhile is left out: the report itself says enough.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from commcheck.errors import InputError
from commcheck.model.diagnosis import EvidenceKind, Report

AROUND = 4
"""Lines shown before and behind a cited one."""
_BLOCK = 512 << 10
_LINE = 1000  # characters of a line that are shown
_READ = 1 << 14  # bytes of a line that are looked at

Context = dict[tuple[str, int], tuple[tuple[int, str], ...]]


def around(report: Report) -> Context:
    """By source and line number, the lines around every cited line that can be read again."""
    wanted: dict[str, set[int]] = {}
    for diagnosis in report.diagnoses:
        for e in (*diagnosis.evidence, *diagnosis.against):
            if e.kind is EvidenceKind.LOG and e.line is not None and os.path.isfile(e.source):
                wanted.setdefault(e.source, set()).add(e.line)
    found: Context = {}
    for source, numbers in wanted.items():
        near = {n for number in numbers for n in range(number - AROUND, number + AROUND + 1) if n > 0}
        texts = dict(_texts(source, near))
        for number in numbers:
            lines = [(n, texts[n]) for n in range(number - AROUND, number + AROUND + 1) if n in texts]
            found[source, number] = tuple(lines)
    return found


def _texts(path: str, numbers: set[int]) -> Iterator[tuple[int, str]]:
    """Those lines of a file, by number, without terminal codes and secrets."""
    number, begun = 1, b""  # the line in hand, and what of it came in blocks before
    for block in _decoded(path):
        newlines = block.count(b"\n")
        if numbers.isdisjoint(range(number, number + newlines + 1)):
            begun = block[block.rfind(b"\n") + 1 :] if newlines else begun
        else:
            whole = block.split(b"\n")
            whole[0] = begun + whole[0]
            yield from ((n, _shown(text)) for n, text in enumerate(whole[:-1], number) if n in numbers)
            begun = whole[-1]
        begun = begun[:_READ]
        number += newlines
        if number > max(numbers):
            return
    if number in numbers and begun:
        yield number, _shown(begun)


def _decoded(path: str) -> Iterator[bytes]:
    """A file as clean text, block by block, for as long as it can be read."""
    from commcheck.diagnose.ingest.decode import Decoder
    from commcheck.diagnose.ingest.unpack import unpacked

    decoder = Decoder(path)
    try:
        with open(path, "rb") as file:
            for block in unpacked(path, iter(lambda: file.read(_BLOCK), b"")):
                yield decoder.feed(block)
            yield decoder.finish()
    except (OSError, InputError):
        return


def _shown(raw: bytes) -> str:
    """One line, as a report may show it."""
    from commcheck.diagnose.ingest.decode import plain, text_of
    from commcheck.diagnose.ingest.redact import redact

    # A secret that is cut in two would not be known as one.
    return redact(text_of(plain(raw[:_READ])).rstrip())[:_LINE]
