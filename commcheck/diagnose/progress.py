"""Signs in a log that training goes on: what came before the last of them ended nothing.

Most lines of most logs are such signs, so only the first few and the last are looked for, in blocks of lines.
"""

import re
from functools import cache

from commcheck.diagnose.ingest import decode

GOES_ON = (
    r"(?i)\bepoch\b[^\w\r\n]{0,4}\d|\b(?:iter(?:ation)?|step)s?\b[^\w\r\n]{0,4}\d|\bloss\b[^\w\r\n]{0,4}\d"
    r"|\d(?:s/it|it/s)\b|\btraining (?:completed|finished|done)\b"
)
"""Training goes on: a numbered epoch or step, a loss, a rate, or its end."""
WORDS = ("epoch", "iter", "step", "loss", "s/it", "it/s", "training ")
"""One of these is in every such line."""
_WINDOW = 1024
_SHOWN = 4096


def first(block: bytes, count: int) -> list[tuple[int, bytes]]:
    """The first `count` lines of a block in which training goes on: newlines before each, and its visible part."""
    block = decode.plain(block)
    found: dict[int, bytes] = {}
    end = 0
    for at in _places(block):
        if at < end:
            continue  # of a line that is found already: a bar can be drawn a thousand times in one
        if len(found) == count:
            break
        found[block.rfind(b"\n", 0, at) + 1] = _part_at(block, at)
        end = block.find(b"\n", at)
        if end < 0:
            break
    return [(block.count(b"\n", 0, begin), part) for begin, part in found.items()]


def last(block: bytes) -> tuple[int, bytes] | None:
    """The last line of a block in which training goes on: newlines from it to the block's end, and its visible part."""
    end, size, behind = len(block), _WINDOW, 0
    while end > 0:
        begin = block.rfind(b"\n", 0, max(0, end - size)) + 1
        window = decode.plain(block[begin:end])
        if places := _places(window):
            at = places[-1]
            return behind + window.count(b"\n", at), _part_at(window, at)
        behind += window.count(b"\n")
        end, size = begin, size * 4
    return None


def _places(lines: bytes) -> list[int]:
    """Where training goes on. A rate alone tells of it only where no bar is drawn again and again: those are also shown
    while data is read or a checkpoint loaded."""
    small, pattern, found = lines.lower(), _from_word(), []
    for word in WORDS:
        literal = word.encode()
        at = small.find(literal)
        while at >= 0:
            match = pattern.match(small, at)
            if match is not None and (match.lastgroup != "rate" or not _is_bar(small, at)):
                found.append(at)
            at = small.find(literal, at + 1)
    return sorted(found)


def _is_bar(lines: bytes, at: int) -> bool:
    """Whether the line around an offset was drawn several times. A long line is one, whatever is in it."""
    before = lines.rfind(b"\n", max(0, at - _SHOWN), at)
    after = lines.find(b"\n", at, at + _SHOWN)
    if after < 0 and len(lines) <= at + _SHOWN:
        after = len(lines)
    if after < 0 or (before < 0 and at > _SHOWN):
        return True
    return b"\r" in lines[before + 1 : after].rstrip(b"\r")


@cache
def _from_word() -> re.Pattern[bytes]:
    """As `GOES_ON`, from one of its words on, over small letters: searching such a pattern would take ten times as long
    as finding the words."""
    return re.compile(
        rb"(?<!\w)(?:(?:epoch|loss|iter(?:ation)?s?|steps?)\b[^\w\r\n]{0,4}\d|training (?:completed|finished|done)\b)"
        rb"|(?P<rate>(?<=\d)(?:it/s|s/it)\b)"
    )


def _part_at(lines: bytes, at: int) -> bytes:
    """What is visible at an offset: its line, or the part of it that no carriage return has overwritten."""
    begin = max(lines.rfind(b"\n", 0, at), lines.rfind(b"\r", 0, at)) + 1
    ends = [end for mark in (b"\n", b"\r") if (end := lines.find(mark, at)) >= 0]
    return lines[max(begin, at - _SHOWN // 2) : min([*ends, at + _SHOWN // 2])]
