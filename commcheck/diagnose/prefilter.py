"""Find the few lines of a large log that contain one of many literal texts.

Logs repeat themselves: with digits taken out and letters made small, a million lines are a few thousand different
ones. So the literals are searched once in those, in one block, and the hits are carried back to all lines that look
the same. That makes a quiet log cost two passes of C code over its bytes, whatever the number of literals.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

_SMALL = bytes(range(256)).lower()
_DIGITS = b"0123456789"
_WORDS = bytes(c if chr(c).isalpha() or c > 127 else 32 for c in range(256))  # all but letters becomes a space

CHUNK = 8 << 20
KEPT_PER_SHAPE = 2048  # of lines that differ in numbers only, so many are looked at; the rest are counted
FEW = 64
_REMEMBERED = 500_000
_VOCABULARY_FROM = 1 << 18

Wanted = tuple[int, bytes, frozenset[int]]  # line number from 1, the line, the literals in it


def shape(text: bytes) -> bytes:
    """A line or literal in the form in which they are compared: small letters, no digits."""
    return text.translate(_SMALL, _DIGITS)


class Prefilter:
    """Literals made ready for searching. `literals` in small letters; an empty shape (only digits) matches nothing.

    `common`: further literals, numbered behind the others, of words so frequent that a few hits in each piece of the
    log are enough."""

    def __init__(self, literals: Iterable[str], common: Iterable[str] = ()) -> None:
        ids: dict[bytes, list[int]] = {}
        rare = tuple(literals)
        for number, literal in enumerate((*rare, *common)):
            ids.setdefault(shape(literal.encode()), []).append(number)
        self._rare = len(rare)
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
            left = len(shapes) if min(numbers) < self._rare else FEW
            while at >= 0 and left:
                left -= 1
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
        words = b" ".join(dict.fromkeys(block.translate(_WORDS).split()))
        present: dict[bytes, bool] = {}

        def has(word: bytes) -> bool:
            if word not in present:
                present[word] = word in words
            return present[word]

        return [
            (literal, numbers) for literal, numbers in self._ids if all(map(has, literal.translate(_WORDS).split()))
        ]

    def wanted(self, data: bytes, kept_per_shape: int = KEPT_PER_SHAPE) -> Iterator[Wanted]:
        """The lines of `data` that contain a literal, in order; of lines of one shape, the first ones."""
        known: set[bytes] = set()
        live: dict[bytes, frozenset[int]] = {}  # shapes with literals, of which more lines are wanted
        left: dict[bytes, int] = {}
        number = 1
        for chunk in _chunks(data):
            shapes = shape(chunk).split(b"\n")
            new = set(shapes) - known
            known |= new
            for text, numbers in self.hits(list(new)).items():
                live[text] = numbers
                left[text] = kept_per_shape if min(numbers) < self._rare else FEW
            places = [index for index, text in enumerate(shapes) if text in live] if live else []
            lines = chunk.split(b"\n") if places else []
            for index in places:
                text = shapes[index]
                if left[text] > 0:
                    left[text] -= 1
                    yield number + index, lines[index], live[text]
            live = {text: numbers for text, numbers in live.items() if left[text] > 0}
            number += len(shapes)
            if len(known) > _REMEMBERED:  # a log in which every line is new: do not let memory grow with it
                known = set(live)


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
