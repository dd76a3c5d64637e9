"""Reports as lines of text, for a stream that many ranks share and that a launcher passes on.

A message is packed, cut into short lines and numbered; each line says whose it is and carries a checksum. What launchers do
to lines does no harm: tags and colours in front, other ranks' lines between, tags within. A line that is damaged all the
same is known by its checksum and taken from its second copy. Nothing here reads or writes.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator

from commcheck.model.base import Value

PREFIX = b"@commcheck1;"
LONGEST = 480
"""Bytes of a line at most, with its newline: below the 512 that POSIX promises to write in one piece, and below what
launchers cut at (1,024 of srun, 4,096 of mpirun, 16,384 of container engines)."""

_PIECE = 336
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
    rb"(?P<number>\d{1,6})/(?P<total>\d{1,6});)(?P<sum>[0-9a-f]{8});(?P<piece>[\w+/=-]+);",
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


def encode(message: Message, *, copies: int = 2) -> tuple[bytes, ...]:
    """The lines of a message, each with its newline; the copies one after the other, so that one tear spoils one."""
    packed = base64.b64encode(zlib.compress(message.data, 9))
    pieces = [packed[at : at + _PIECE] for at in range(0, len(packed), _PIECE)]
    who = ";".join(map(token, (message.kind, message.run, message.rank, message.stream))).encode()
    lines = []
    for number, piece in enumerate(pieces, 1):
        head = b"%b;%d/%d;" % (who, number, len(pieces))
        lines.append(b"%b%b%08x;%b;\n" % (PREFIX, head, zlib.crc32(head + piece), piece))
    return tuple(lines * copies)


def token(text: str) -> str:
    """`text` as a field of a line: what a field cannot hold becomes "_", and what is long is cut."""
    return _UNFIT.sub("_", text)[:_TOKEN] or "-"


class Collector:
    """Finds records in a stream that is fed block by block, however it is cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._pieces: dict[tuple[str, str, str, str], dict[int, bytes]] = {}
        self._totals: dict[tuple[str, str, str, str], int] = {}

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
        return bool(self._totals)

    def ranks(self, run: str) -> int:
        """How many ranks of a run have said something so far."""
        return len({rank for _, of, rank, _ in self._totals if of == run})

    def messages(self) -> tuple[Message, ...]:
        """The messages of which all lines have come, in the order of their first ones."""
        return tuple(one for one in self._read() if isinstance(one, Message))

    def torn(self) -> tuple[Torn, ...]:
        """The messages of which lines are missing."""
        return tuple(one for one in self._read() if isinstance(one, Torn))

    def _read(self) -> Iterator[Message | Torn]:
        for key, total in self._totals.items():
            pieces = self._pieces[key]
            whole = [pieces[n] for n in range(1, total + 1) if n in pieces]
            data = _unpacked(b"".join(whole)) if len(whole) == total else None
            kind, run, rank, stream = key
            if data is None:
                yield Torn(kind=kind, run=run, rank=rank, stream=stream, have=len(whole), total=total)
            else:
                yield Message(kind=kind, run=run, rank=rank, stream=stream, data=data)

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
        if self._totals.setdefault(key, int(found["total"])) == int(found["total"]):
            self._pieces.setdefault(key, {})[int(found["number"])] = found["piece"]
        return at


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


def _unpacked(packed: bytes) -> bytes | None:
    """The message's data; None for what was not packed here."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(packed, validate=True), _LARGEST)
    except (ValueError, zlib.error):
        return None
    return data if unpacker.eof else None
