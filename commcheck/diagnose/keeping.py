"""What is kept of a log while it is read: the lines that a diagnosis could want, and of alike ones the first.

A log can have any size, and what is kept of it must not: of lines that differ in digits alone so many are kept as
there may be ranks, fewer of kinds that carry less, and fewer of all once much has been kept. Everything depends on the
lines and their order alone, never on the blocks in which they came.

What may not be here: I/O, clocks, or judgement about causes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from commcheck.diagnose import progress, scan
from commcheck.diagnose.ingest import decode, identities, marks, split
from commcheck.diagnose.ingest.redact import redact
from commcheck.diagnose.prefilter import shape
from commcheck.model.case import LogLine

BLOCK = 512 << 10  # bytes that are worked on at once: larger ones do not stay in a processor's cache
_OF_A_SHAPE = {scan.Interest.SIGNATURE: 2048, scan.Interest.TROUBLE: 512, scan.Interest.PROGRESS: 16}
_TRIES = 64  # lines of one shape that are looked at before it is held for barren
_SHAPES = 16 << 20  # bytes of shapes that are remembered
_BUDGET = ((16 << 20, 2048), (32 << 20, 64), (48 << 20, 4), (56 << 20, 1))  # bytes kept so far -> lines of one shape
_OVERHEAD = 400  # bytes of a kept line beside its text
_FIRST_STEPS = 4
_COLOURED = 64  # lines of a block: with more of them, the whole block is freed of terminal codes
_OF_A_LINE = 32  # pieces of one long line
_PIECE, _OVERLAP = 4096, 512  # of a long line: what a pattern is searched in
_WORD = _OVERLAP // 2
_SPACES = (b" ", b"\t")


class Kept(NamedTuple):
    """A line, and the process that wrote it where a mark says: its id, or a number that may be its rank."""

    line: LogLine
    pid: int | None
    number: identities.Number | None = None


class Budget:
    """How much is kept of all logs together. `lines_of_a_shape`: how many lines that look alike may be kept now."""

    def __init__(self) -> None:
        self._bytes = 0
        self.lines_of_a_shape = _BUDGET[0][1]

    def spend(self, line: LogLine) -> None:
        """Count a line that is kept."""
        self._bytes += len(line.text) + _OVERHEAD
        self.lines_of_a_shape = next((lines for size, lines in _BUDGET if self._bytes < size), 0)


class Source:
    """One log, read block by block."""

    def __init__(self, name: str, budget: Budget, known: identities.Identities) -> None:
        self.name = name
        self.named = marks.of_source(name)
        self.empty = True
        self.number = 1  # of the line that the next block begins with
        self.kept: list[Kept] = []
        self._budget, self._identities = budget, known
        self._decoder, self._splitter = decode.Decoder(name), split.Splitter()
        self._tried: dict[bytes, int] = {}
        self._tried_bytes = 0
        self._fertile: set[bytes] = set()
        self._done: set[bytes] = set()  # shapes of which no more is wanted
        self._first_steps: list[Kept] = []
        self._last_step: Kept | None = None

    def feed(self, data: bytes) -> None:
        """The log's next block. Raises InputError where it is no text."""
        for at in range(0, len(data), BLOCK):
            self._read(self._decoder.feed(data[at : at + BLOCK]))

    def finish(self) -> None:
        """The log is at its end. Raises InputError where it is no text."""
        self._read(self._decoder.finish())
        for block in self._splitter.finish():
            self._block(block)

    def lines(self) -> list[Kept]:
        """What is kept so far, in the order of the log."""
        steps = (*self._first_steps, *(() if self._last_step is None else (self._last_step,)))
        if not steps:
            return self.kept
        known = {(kept.line.number, kept.line.text) for kept in self.kept}
        new = dict.fromkeys(kept for kept in steps if (kept.line.number, kept.line.text) not in known)
        return sorted((*self.kept, *new), key=lambda kept: kept.line.number)

    def _read(self, data: bytes) -> None:
        if self.empty and data and not data.isspace():
            self.empty = False
        for block in self._splitter.feed(data):
            self._block(block)

    def _block(self, block: bytes) -> None:
        """Whole lines, or a part of a long one."""
        coloured = _coloured(block) if b"\x1b" in block else {}
        if len(coloured) > _COLOURED:
            block, coloured = decode.plain(block), {}
        found = scan.prefilter().find(block, self._done)
        lines = [(line.begin, line.row, block[line.begin : line.end], line.numbers) for line in found.found]
        if coloured:
            lines = [line for line in lines if line[0] not in coloured]
            rest, common = _uncoloured(block, coloured)
            found = found._replace(common=found.common or common)
            lines = sorted((*lines, *rest))
        for _, row, raw, numbers in lines:
            if shape(raw) not in self._done:
                self._line(self.number + row, raw, numbers)
        if found.common:
            self._steps(block, found.newlines)
        self.number += found.newlines

    # --- lines with literals ------------------------------------------------------------------------------

    def _line(self, number: int, raw: bytes, numbers: frozenset[int]) -> None:
        """One line, or of one that a progress bar rewrote many times, its parts."""
        if len(raw) <= _PIECE and b"\r" not in raw[:-1]:
            self._piece(number, raw, numbers)
            return
        parts = decode.segments(raw)
        pieces = [piece for part in parts for piece in _pieces(part)]
        wanted: dict[bytes, tuple[bytes, frozenset[int]]] = {}
        for found in scan.prefilter().find(b"\n".join(pieces)).found:
            if len(parts) == 1 or scan.interest(found.numbers) is not scan.Interest.PROGRESS:
                piece = pieces[found.row]
                wanted.setdefault(shape(piece), (piece, found.numbers))
        chosen = list(wanted.values())
        if len(chosen) > _OF_A_LINE:
            chosen = chosen[: _OF_A_LINE // 2] + chosen[-_OF_A_LINE // 2 :]
        for piece, own in chosen:
            self._piece(number, piece, own)

    def _piece(self, number: int, raw: bytes, numbers: frozenset[int]) -> None:
        identity = scan.tells_identity(numbers)
        if identity:
            self._identities.learn(decode.text_of(raw))
        interest = scan.interest(numbers)
        if interest is scan.Interest.IDENTITY:
            return
        key = shape(raw)
        tried = self._tried.get(key, 0)
        barren = tried >= _TRIES and key not in self._fertile
        if barren or tried >= min(_OF_A_SHAPE[interest], self._budget.lines_of_a_shape):
            if not identity:
                self._done.add(key)
            return
        self._remember(key, tried)
        kept = self._made(number, raw)
        if kept is not None and scan.is_useful(kept.line, numbers):
            self._fertile.add(key)
            self._budget.spend(kept.line)
            self.kept.append(kept)
            self._see(kept)

    def _remember(self, key: bytes, tried: int) -> None:
        if not tried:
            self._tried_bytes += len(key) + 150
            if self._tried_bytes > _SHAPES:
                self._tried.clear()
                self._fertile.clear()
                self._done.clear()
                self._tried_bytes = 0
        self._tried[key] = tried + 1

    def _made(self, number: int, raw: bytes) -> Kept | None:
        """The line as it is judged and shown: without its marks and secrets."""
        marked = marks.read(decode.text_of(raw).rstrip())
        text = redact(marked.text)
        if not text.strip():
            return None
        rank = self.named.rank if marked.rank is None else marked.rank
        host = marked.host or self.named.host
        line = LogLine(source=self.name, number=number, text=text, rank=rank, seconds=marked.seconds, host=host)
        pid = self.named.pid if marked.pid is None else marked.pid
        return Kept(line, pid, identities.number(self.name, self.named, marked))

    def _see(self, kept: Kept) -> None:
        """Of lines that are kept alone, and of their steps only the first: so it does not depend on the blocks."""
        if kept.number is not None:
            self._identities.see(kept.number, kept.line.rank)

    # --- training goes on ---------------------------------------------------------------------------------

    def _steps(self, block: bytes, newlines: int) -> None:
        """Keep the log's first few lines in which training goes on, and the last one so far."""
        if left := _FIRST_STEPS - len(self._first_steps):
            made = (self._made(self.number + row, raw) for row, raw in progress.first(block, left))
            new = [kept for kept in made if kept is not None]
            self._first_steps.extend(new)
            for kept in new:
                self._see(kept)
        if found := progress.last(block):
            behind, raw = found
            self._last_step = self._made(self.number + newlines - behind, raw) or self._last_step


def _coloured(block: bytes) -> dict[int, int]:
    """The lines with terminal codes: their begins and ends. One more than `_COLOURED` is enough."""
    lines: dict[int, int] = {}
    at = block.find(b"\x1b")
    while at >= 0 and len(lines) <= _COLOURED:
        end = block.find(b"\n", at)
        end = len(block) if end < 0 else end
        lines[block.rfind(b"\n", 0, at) + 1] = end
        at = block.find(b"\x1b", end)
    return lines


def _uncoloured(block: bytes, lines: dict[int, int]) -> tuple[list[tuple[int, int, bytes, frozenset[int]]], bool]:
    """Of those lines the ones with literals, once the terminal codes are gone (begin, row, line, numbers), and whether
    a common word is in any of them."""
    plain = [decode.plain(block[begin:end]) for begin, end in lines.items()]
    begins = list(lines)
    searched = scan.prefilter().find(b"\n".join(plain))
    found = [
        (begins[line.row], block.count(b"\n", 0, begins[line.row]), plain[line.row], line.numbers)
        for line in searched.found
    ]
    return found, searched.common


def _pieces(part: bytes) -> Iterator[bytes]:
    """A long part in pieces that overlap, so that what lies on a border is whole in one of them.

    No piece begins or ends within a word: half of a secret would not be known as one."""
    if len(part) <= _PIECE:
        yield part
        return
    last = len(part) - _OVERLAP
    for begin in range(0, last, _PIECE - _OVERLAP):
        piece = part[begin : begin + _PIECE]
        if begin + _PIECE < len(part):
            end = max(piece.rfind(space, len(piece) - _WORD) for space in _SPACES)
            piece = piece[: end if end >= 0 else len(piece) - _WORD]
        if begin:
            at = min((found for space in _SPACES if (found := piece.find(space, 0, _WORD)) >= 0), default=_WORD)
            piece = piece[at:]
        yield piece
