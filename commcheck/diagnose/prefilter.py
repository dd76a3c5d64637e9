"""Find the few lines of a large log that contain one of many literal texts, whatever their case.

Two engines, one answer. Hyperscan (the extra `fast`) searches all literals in one pass, several times as fast as a
single core reads from a disk; it is imported when a log turns out to be large enough to repay it. Without it, plain
Python uses that logs repeat themselves: with digits taken out and letters made small, a million lines are a few
thousand different ones, so the literals are searched once in those, and what is found is looked up in the lines.

What may not be here: I/O, or what the literals mean.
"""

from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple

_SMALL = bytes(range(256)).lower()
_DIGITS = b"0123456789"
_WORDS = bytes(c if chr(c).isalpha() or c > 127 else 32 for c in range(256))  # all but letters becomes a space

ENGINE_FROM = 1 << 20
"""Bytes from which Hyperscan's import and compilation (30 ms together) cost less than what they save."""
_REMEMBERED = 32 << 20  # bytes of different lines: a log in which every line is new does not let memory grow with it
_FLOOD = 10_000  # more matches than this, and one for every 16 bytes: looking line by line is cheaper
_VOCABULARY_FROM = 1 << 18


class Found(NamedTuple):
    """A line with literals: the number of newlines before it in its block, its ends there, the literals' numbers."""

    row: int
    begin: int
    end: int
    numbers: frozenset[int]


class Block(NamedTuple):
    """What a block of lines holds: the lines with literals in their order, its newlines, whether a common word is in it."""

    found: list[Found]
    newlines: int
    common: bool


def shape(text: bytes) -> bytes:
    """A line or literal in the form in which alike ones are the same: small letters, no digits."""
    return text.translate(_SMALL, _DIGITS)


def shape_of(text: str) -> bytes:
    """The shape of a line that has been decoded."""
    return shape(text.encode("utf-8", "replace"))


class Prefilter:
    """Literals made ready for searching; all in small letters, without newlines, not empty.

    `common`: words so frequent in logs that it is only asked whether a block has any of them.
    `accelerated`: whether Hyperscan may be used; None: where it is installed and the text is long."""

    def __init__(self, literals: Iterable[str], common: Iterable[str] = (), *, accelerated: bool | None = None) -> None:
        numbers: dict[bytes, list[int]] = {}
        for number, literal in enumerate(literals):
            numbers.setdefault(literal.encode(), []).append(number)
        self._texts = tuple(numbers)
        self._numbers = tuple(frozenset(found) for found in numbers.values())
        self._common = tuple(dict.fromkeys(word.encode() for word in common))
        self._shapes: dict[bytes, list[int]] = {}
        for index, text in enumerate(self._texts):
            self._shapes.setdefault(shape(text), []).append(index)
        self._accelerated = accelerated
        self._engine: Any = None
        self._seen = 0
        self._known: dict[bytes, tuple[int, ...]] = {}
        self._known_bytes = 0
        self._common_shapes: set[bytes] = set()  # of those known, the ones with a common word
        self._sets: dict[tuple[int, ...], frozenset[int]] = {}

    def find(self, block: bytes, skipped: Container[bytes] = frozenset()) -> Block:
        """Search a block of whole lines; lines end at newlines alone. Lines of the `skipped` shapes are left out."""
        self._seen += len(block)
        if self._engine is None and self._accelerated is not False and (self._accelerated or self._seen > ENGINE_FROM):
            self._engine = _database(self._texts, self._common)
            self._accelerated = self._engine is not None
        return self._scanned(block, skipped) if self._accelerated else self._compared(block, skipped)

    def _set(self, indices: Sequence[int]) -> frozenset[int]:
        """The literals' numbers of texts; the same few sets come again and again."""
        key = tuple(indices)
        found = self._sets.get(key)
        if found is None:
            if len(self._sets) > 10_000:
                self._sets.clear()
            found = self._sets[key] = frozenset(n for i in key for n in self._numbers[i])
        return found

    # --- Hyperscan ----------------------------------------------------------------------------------------

    def _scanned(self, block: bytes, skipped: Container[bytes]) -> Block:
        lines: list[tuple[int, int, list[int]]] = []
        begin, end = 0, -1
        current: list[int] | None = None  # the literals of the line in hand, unless it is skipped
        common, texts = False, len(self._texts)
        left = _FLOOD + len(block) // 16

        def hit(number: int, _from: int, to: int, _flags: int, _context: object) -> bool | None:
            nonlocal begin, end, current, common, left
            left -= 1
            if left < 0:
                return True  # stop
            if number >= texts:
                common = True
            elif begin < to <= end:
                if current is not None and number not in current:
                    current.append(number)
            else:
                begin, end = block.rfind(b"\n", 0, to) + 1, block.find(b"\n", to)
                if end < 0:
                    end = len(block)
                current = None
                if shape(block[begin:end]) not in skipped:
                    current = [number]
                    lines.append((begin, end, current))
            return None

        try:
            self._engine.scan(block, match_event_handler=hit)
        except Exception:  # of hyperscan, for a scan that was stopped
            if left >= 0:
                raise
        if left < 0:
            return self._compared(block, skipped)
        lines.sort()
        found: list[Found] = []
        newlines = position = 0
        for first, last, indices in lines:
            newlines += block.count(b"\n", position, first)
            position = first
            numbers = self._set(sorted(indices))
            if found and found[-1].begin == first:  # matches came out of order: one line in two parts
                numbers |= found.pop().numbers
            found.append(Found(newlines, first, last, numbers))
        return Block(found, newlines + block.count(b"\n", position), common)

    # --- plain Python -------------------------------------------------------------------------------------

    def _compared(self, block: bytes, skipped: Container[bytes]) -> Block:
        shapes = shape(block).split(b"\n")
        known = self._known
        new = [text for text in set(shapes) if text not in known]
        if new:
            self._known_bytes += sum(map(len, new)) + 100 * len(new)
            known.update(dict.fromkeys(new, ()))
            known.update(self._in_shapes(new))
            self._common_shapes.update(text for text in new if any(word in text for word in self._common))
        found: list[Found] = []
        if any(known[text] for text in new) or any(map(known.__getitem__, shapes)):
            begin = 0
            for index, text in enumerate(shapes):
                end = block.find(b"\n", begin)
                end = len(block) if end < 0 else end
                if (possible := known[text]) and text not in skipped:
                    # Without digits two texts can look alike that are not: the line itself decides.
                    small = block[begin:end].lower()
                    if indices := [i for i in possible if self._texts[i] in small]:
                        found.append(Found(index, begin, end, self._set(indices)))
                begin = end + 1
        common = not self._common_shapes.isdisjoint(shapes) and self._has_common(block.lower())
        if self._known_bytes > _REMEMBERED:
            known.clear()
            self._common_shapes.clear()
            self._known_bytes = 0
        return Block(found, len(shapes) - 1, common)

    def _has_common(self, small: bytes) -> bool:
        """Whether a block has one of the common words; the word that was found last is looked for first."""
        found = next((word for word in self._common if word in small), None)
        if found is not None and found != self._common[0]:
            self._common = (found, *(word for word in self._common if word != found))
        return found is not None

    def _in_shapes(self, shapes: Sequence[bytes]) -> dict[bytes, tuple[int, ...]]:
        """Of different `shapes`, those that can contain a literal, with the texts' numbers."""
        block = b"\n".join(shapes)
        starts: list[int] = []
        position = 0
        for text in shapes:
            starts.append(position)
            position += len(text) + 1
        found: dict[int, list[int]] = {}
        for literal, indices in self._possible(block):
            if not literal:  # of digits alone: every line can hold it
                for row in range(len(shapes)):
                    found.setdefault(row, []).extend(indices)
                continue
            at = block.find(literal)
            while at >= 0:
                row = bisect_right(starts, at) - 1
                found.setdefault(row, []).extend(indices)
                # Once per line is enough: go on behind the line's end.
                at = block.find(literal, starts[row] + len(shapes[row]) + 1)
        return {shapes[row]: tuple(sorted(indices)) for row, indices in found.items()}

    def _possible(self, block: bytes) -> list[tuple[bytes, list[int]]]:
        """The literals that can be in a block, by its vocabulary: each of a literal's words must be part of a word.

        In a log whose lines all differ this leaves few of hundreds of literals to search in the whole block."""
        if len(block) < _VOCABULARY_FROM:
            return list(self._shapes.items())
        words = b" ".join(dict.fromkeys(block.translate(_WORDS).split()))
        present: dict[bytes, bool] = {}

        def has(word: bytes) -> bool:
            if word not in present:
                present[word] = word in words
            return present[word]

        return [item for item in self._shapes.items() if all(map(has, item[0].translate(_WORDS).split()))]


def _database(texts: Sequence[bytes], common: Sequence[bytes]) -> Any:
    """The literals compiled by Hyperscan; None where it is not installed or does not run on this processor."""
    try:
        import hyperscan
    except ImportError:
        return None
    try:
        flags = [hyperscan.HS_FLAG_CASELESS] * len(texts)
        flags += [hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH] * len(common)
        database = hyperscan.Database()
        database.compile(
            expressions=[b"".join(b"\\x%02x" % byte for byte in text) for text in (*texts, *common)],
            ids=list(range(len(texts) + len(common))),
            elements=len(texts) + len(common),
            flags=flags,
        )
    except hyperscan.error:
        return None
    return database
