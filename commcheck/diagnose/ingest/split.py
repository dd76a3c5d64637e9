"""Blocks of a stream -> blocks of whole lines, however the stream was cut.

A line that does not end for a megabyte is passed on in parts, since nobody can wait for its end: a progress bar that only
ever returns its carriage, or a dump in one line. Where it is cut depends on its own bytes alone, so that a file gives
the same lines in whatever blocks it comes.
"""

from collections.abc import Iterator

LONGEST = 1 << 20
_SEEK = 1 << 14  # a part rather ends at a carriage return or space, if one is so near its end


class Splitter:
    """Takes a stream block by block (`feed`), and gives blocks that end with a newline, or are part of a long line."""

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # joined when it is needed: a job writes some lines a few bytes at a time
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are whole now."""
        cut = data.rfind(b"\n") + 1
        if cut:
            yield from _parts(b"".join((*self._tail, memoryview(data)[:cut])))
            self._tail, self._size = [], 0
            data = data[cut:]
        if data:
            self._tail.append(data)
            self._size += len(data)
        while self._size > LONGEST:
            tail = b"".join(self._tail)
            end = _end_of_part(tail, 0)
            yield tail[:end]
            self._tail, self._size = [tail[end:]], self._size - end

    def finish(self) -> Iterator[bytes]:
        """What is left: a last line without a newline."""
        tail = b"".join(self._tail)
        self._tail, self._size = [], 0
        if tail:
            yield tail


def _parts(block: bytes) -> Iterator[bytes]:
    """A block of whole lines, with the long ones in parts."""
    begin = at = 0
    while at + LONGEST < len(block):
        newline = block.rfind(b"\n", at, at + LONGEST + 1)
        if newline >= 0:
            at = newline + 1
            continue
        if at > begin:
            yield block[begin:at]
        end = _end_of_part(block, at)
        yield block[at:end]
        begin = at = end
    yield block[begin:] if begin else block


def _end_of_part(text: bytes, begin: int) -> int:
    """Where the first part of a long line ends that begins at `begin`."""
    end = begin + LONGEST
    for mark in (b"\r", b" "):
        at = text.rfind(mark, end - _SEEK, end)
        if at >= 0:
            return at + 1
    return end
