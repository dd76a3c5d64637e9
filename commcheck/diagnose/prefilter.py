"""Find the few lines of a large log that contain one of many literal texts.

Logs repeat themselves: with digits taken out and letters made small, a million lines are a few thousand different
ones. So the literals are searched once in those, in one block, and the hits are carried back to all lines that look
the same. That makes a quiet log cost two passes of C code over its bytes, whatever the number of literals.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

_SMALL = bytes(range(256)).lower()
_DIGITS = b"0123456789"

CHUNK = 8 << 20
KEPT_PER_SHAPE = 2048  # of lines that differ in numbers only, so many are looked at; the rest are counted
LONGEST = 1 << 16  # of a longer line only the surroundings of each hit are kept
_VOCABULARY_FROM = 1 << 18

Wanted = tuple[int, bytes, frozenset[int]]  # line number from 1, the line, the literals in it


def shape(text: bytes) -> bytes:
    """A line or literal in the form in which they are compared: small letters, no digits."""
    return text.translate(_SMALL, _DIGITS)


class Prefilter:
    """Literals made ready for searching. `literals` in small letters; an empty shape (only digits) matches nothing."""

    def __init__(self, literals: Iterable[str]) -> None:
        ids: dict[bytes, list[int]] = {}
        for number, literal in enumerate(literals):
            ids.setdefault(shape(literal.encode()), []).append(number)
        ids.pop(b"", None)
        self._ids: list[tuple[bytes, frozenset[int]]] = [(text, frozenset(numbers)) for text, numbers in ids.items()]

    def hits(self, shapes: Sequence[bytes]) -> dict[bytes, frozenset[int]]:
        """Of different `shapes`, those that contain a literal, with the literals' numbers."""
        block = b"\n".join(shapes)
        starts: list[int] = []
        position = 0
        for text in shapes:
            starts.append(position)
            position += len(text) + 1
        found: dict[int, frozenset[int]] = {}
        for literal, numbers in self._possible(block):
            at = block.find(literal)
            while at >= 0:
                index = bisect_right(starts, at) - 1
                found[index] = found.get(index, frozenset()) | numbers
                # Once per line is enough: go on behind the line's end.
                at = block.find(literal, starts[index] + len(shapes[index]) + 1)
        return {shapes[index]: numbers for index, numbers in found.items()}

    def _possible(self, block: bytes) -> list[tuple[bytes, frozenset[int]]]:
        """The literals that can be in a block, by its vocabulary: each of a literal's words must be part of a word.

        In a log whose lines all differ this leaves few of hundreds of literals to search in the whole block."""
        if len(block) < _VOCABULARY_FROM:
            return self._ids
        words = b" ".join(dict.fromkeys(block.split()))
        present: dict[bytes, bool] = {}

        def has(word: bytes) -> bool:
            if word not in present:
                present[word] = word in words
            return present[word]

        return [(literal, numbers) for literal, numbers in self._ids if all(map(has, literal.split()))]

    def wanted(self, data: bytes, kept_per_shape: int = KEPT_PER_SHAPE) -> Iterator[Wanted]:
        """The lines of `data` that contain a literal, in order."""
        known: dict[bytes, frozenset[int]] = {}
        kept: dict[bytes, int] = {}
        number = 0
        for chunk in _chunks(data):
            small = shape(chunk)
            shapes = small.split(b"\n")
            new = [text for text in dict.fromkeys(shapes) if text not in known]
            found = self.hits(new)
            for text in new:
                known[text] = found.get(text, frozenset())
            if found or kept:
                lines: list[bytes] | None = None
                for index, text in enumerate(shapes):
                    if not (numbers := known[text]):
                        continue
                    seen = kept.get(text, 0)
                    kept[text] = seen + 1
                    if seen < kept_per_shape:
                        lines = chunk.split(b"\n") if lines is None else lines
                        yield number + index + 1, lines[index], numbers
            number += len(shapes)
            if len(known) > 1_000_000:  # a log in which every line is new: do not let memory grow with it
                known = {text: numbers for text, numbers in known.items() if numbers}


def _chunks(data: bytes) -> Iterator[bytes]:
    """`data` in pieces that end where a line ends, without that newline."""
    begin = 0
    while begin < len(data):
        if begin + CHUNK >= len(data):
            yield data[begin:].removesuffix(b"\n")
            return
        end = data.find(b"\n", begin + CHUNK)
        if end < 0:
            yield data[begin:]
            return
        yield data[begin:end]
        begin = end + 1
