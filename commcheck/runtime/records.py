"""Reports as lines of text, for a stream that many ranks share and that a launcher passes on.

A message is packed, cut into short lines and numbered; each line says whose it is and carries a checksum. What launchers do
to lines does no harm: tags and colours in front, other ranks' lines between, tags within. A line that is torn all the same is
known by its checksum, and made again from the others of its group, or taken from a second copy. Nothing here reads or writes.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator, Sequence

from commcheck.model.base import Value

PREFIX = b"@commcheck1;"
LONGEST = 480
"""Bytes of a line at most, with its newline: below the 512 that POSIX promises to write in one piece, and below what
launchers cut at (1,024 of srun, 4,096 of mpirun, 16,384 of container engines)."""

_PIECE = 252
_GROUP = 7
"""Lines that share one more, their exclusive or: together shorter than 4,096 bytes. A launcher that cuts the stream each 4,096
bytes (mpirun), and puts another rank's output there, tears but one of them."""
_LARGEST = 1 << 26
"""Bytes of an unpacked message: a rank's report has some KB."""
_FIELDS = 7
_WINDOW = 4 * LONGEST
"""As far as a line is followed in what a launcher has made of it."""
_TOKEN = 24
_COLOUR = rb"\x1b\[[0-9;]{0,20}[A-Za-z]"
_BRACKETS = rb"\[[^\[\]\r\n]{1,120}\](?:<std(?:out|err|diag)>)?:?[ \t]?"
_LABEL = rb"(?:\d{1,7}|rank\d{1,7}): |\([^()\r\n]{1,120}\)[ \t]?|\d{4}-\d\d-\d\dT[\d:.]{8,20}(?:Z|[+-]\d\d:\d\d) "
_PART = re.compile(
    rb"(?P<mark>\r?\n(?:%b|%b|%b)*|%b|%b)|(?P<text>[\w.,/+=-]*;?)" % (_COLOUR, _BRACKETS, _LABEL, _COLOUR, _BRACKETS),
    re.ASCII,
)
_FORM = re.compile(
    rb"(?P<head>(?P<kind>[\w.-]+);(?P<run>[\w.-]+);(?P<rank>[\w.-]+);(?P<stream>[\w.-]+);"
    rb"(?P<number>\d{1,6}|x\d{1,6})/(?P<size>\d{1,9});)(?P<sum>[0-9a-f]{8});(?P<piece>[\w+/=-]+);",
    re.ASCII,
)
_UNFIT = re.compile(r"[^\w.-]", re.ASCII)


class Message(Value, frozen=True):
    """What one process said. `run`: which launch it belongs to; `stream`: which of the run's utterances this is."""

    kind: str
    run: str
    rank: str
    stream: str
    data: bytes


class Torn(Value, frozen=True):
    """A message of which lines are missing: `have` of `total` came."""

    kind: str
    run: str
    rank: str
    stream: str
    have: int
    total: int


def encode(message: Message, *, twice: bool = False) -> tuple[bytes, ...]:
    """The lines of a message, each with its newline."""
    packed = zlib.compress(message.data, 9)
    who = ";".join(map(token, (message.kind, message.run, message.rank, message.stream))).encode()
    pieces = [packed[at : at + _PIECE] for at in range(0, len(packed), _PIECE)]
    lines = []
    for first in range(0, len(pieces), _GROUP):
        group = pieces[first : first + _GROUP]
        numbered = [
            *((b"%d" % (first + n), piece) for n, piece in enumerate(group)),
            (b"x%d" % first, _together(group)),
        ]
        for number, piece in numbered:
            head, text = b"%b;%b/%d;" % (who, number, len(packed)), base64.b64encode(piece)
            lines.append(b"%b%b%08x;%b;\n" % (PREFIX, head, zlib.crc32(head + text), text))
    return tuple(lines * 2 if twice else lines)


def _together(pieces: Sequence[bytes]) -> bytes:
    """The exclusive or of pieces, the shorter ones filled up with zeros."""
    both = 0
    for piece in pieces:
        both ^= int.from_bytes(piece.ljust(_PIECE, b"\0"))
    return both.to_bytes(_PIECE)


def token(text: str) -> str:
    """`text` as a field of a line: what a field cannot hold becomes "_", and what is long is cut."""
    return _UNFIT.sub("_", text)[:_TOKEN] or "-"


_Key = tuple[str, str, str, str]


class Collector:
    """Finds records in a stream that is fed block by block, however it is cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._pieces: dict[_Key, dict[bytes, bytes]] = {}
        self._sizes: dict[_Key, int] = {}
        self._fresh: dict[_Key, None] = {}
        self._handed: set[_Key] = set()

    def feed(self, block: bytes) -> bytes:
        """Take the next block. Returns the text without records; what they stood on stays as empty lines."""
        text = self._rest + block if self._rest else block
        self._rest = b""
        if PREFIX[:1] not in text:
            return text
        return b"".join(self._without(text, last=False))

    def finish(self) -> bytes:
        """The stream has ended: the text that was held back."""
        text, self._rest = self._rest, b""
        return b"".join(self._without(text, last=True))

    @property
    def found(self) -> bool:
        """Whether there was any record."""
        return bool(self._sizes)

    def ranks(self, run: str) -> int:
        """How many ranks of a run have said something so far."""
        return len({rank for _, of, rank, _ in self._sizes if of == run})

    def messages(self) -> tuple[Message, ...]:
        """The messages of which all lines have come, in the order of their first ones."""
        return tuple(one for one in self._read() if isinstance(one, Message))

    def torn(self) -> tuple[Torn, ...]:
        """The messages of which lines are missing."""
        return tuple(one for one in self._read() if isinstance(one, Torn))

    def take(self) -> tuple[Message, ...]:
        """The messages of which all lines have come since, for a stream that does not end: they are forgotten here, and what
        comes again of them is too."""
        found = []
        for key in self._fresh:
            one = self._one(key) if len(self._pieces[key]) >= _lines(self._sizes[key]) else None
            if isinstance(one, Message):
                found.append(one)
                self._handed.add(key)
                del self._pieces[key], self._sizes[key]
        self._fresh.clear()
        return tuple(found)

    def _read(self) -> Iterator[Message | Torn]:
        return map(self._one, self._sizes)

    def _one(self, key: _Key) -> Message | Torn:
        (kind, run, rank, stream), size = key, self._sizes[key]
        total = _lines(size)
        whole = _mended(self._pieces[key], size, total)
        data = _unpacked(b"".join(whole)) if len(whole) == total else None
        if data is None:
            return Torn(kind=kind, run=run, rank=rank, stream=stream, have=len(whole), total=total)
        return Message(kind=kind, run=run, rank=rank, stream=stream, data=data)

    def _without(self, text: bytes, *, last: bool) -> Iterator[bytes]:
        """The text between records, while their lines are taken; what may be the beginning of one is held back."""
        at = 0
        while (begin := text.find(PREFIX, at)) >= 0:
            yield text[at:begin]
            end = text.find(PREFIX, begin + 1)
            if end < 0:
                end = len(text)
                if not last and end - begin < _WINDOW and not self._taken(text, begin, end):
                    self._rest = text[begin:]
                    return
            taken = self._taken(text, begin, min(end, begin + _WINDOW))
            newline = text.find(b"\n", begin, end)
            at = taken or (newline if newline >= 0 else end)
        held = 0 if last else next((n for n in range(len(PREFIX) - 1, 0, -1) if text.endswith(PREFIX[:n], at)), 0)
        yield text[at : len(text) - held]
        self._rest = text[len(text) - held :]

    def _taken(self, text: bytes, begin: int, end: int) -> int:
        """Take the line that begins there; where it ends, or 0 for one that is torn."""
        line, at = _cleaned(text, begin + len(PREFIX), end)
        found = _FORM.fullmatch(line)
        if found is None or zlib.crc32(found["head"] + found["piece"]) != int(found["sum"], 16):
            return 0
        kind, run, rank, stream = (found[name].decode() for name in ("kind", "run", "rank", "stream"))
        key = (kind, run, rank, stream)
        if key in self._handed:
            return at
        if self._sizes.setdefault(key, int(found["size"])) == int(found["size"]):
            self._pieces.setdefault(key, {})[found["number"]] = found["piece"]
            self._fresh[key] = None
        return at


def _lines(size: int) -> int:
    """How many lines carry a message of so many packed bytes, without those of groups."""
    return -(-size // _PIECE)


def _cleaned(text: bytes, begin: int, end: int) -> tuple[bytes, int]:
    """A line without the marks that stand within it, and where it ends: after its last field's semicolon."""
    parts: list[bytes] = []
    fields, at = 0, begin
    while fields < _FIELDS and at < end:
        part = _PART.match(text, at, end)
        if part is None or part.end() == at:
            break
        if part["mark"] is None:
            parts.append(part["text"])
            fields += part["text"].endswith(b";")
        at = part.end()
    return b"".join(parts), at


def _mended(pieces: dict[bytes, bytes], size: int, total: int) -> list[bytes]:
    """The pieces of a message that are there, in order, with those that their group tells."""
    there: list[bytes] = []
    for first in range(0, min(total, len(pieces) * _GROUP), _GROUP):
        numbers = range(first, min(first + _GROUP, total))
        group = {n: piece for n in numbers if (piece := _plain(pieces.get(b"%d" % n))) is not None}
        lost = [n for n in numbers if n not in group]
        if len(lost) == 1 and (spare := _plain(pieces.get(b"x%d" % first))) is not None:
            group[lost[0]] = _together((*group.values(), spare))[: min(_PIECE, size - lost[0] * _PIECE)]
        there += [group[n] for n in numbers if n in group]
    return there


def _plain(text: bytes | None) -> bytes | None:
    try:
        piece = None if text is None else base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return None if piece is None or len(piece) > _PIECE else piece


def _unpacked(packed: bytes) -> bytes | None:
    """The message's data; None for what was not packed here."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, _LARGEST)
    except zlib.error:
        return None
    return data if unpacker.eof else None
