"""From a stream's bytes to clean UTF-8 bytes with the line structure kept."""

import codecs
import re

from commcheck.errors import InputError

_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UTF8_BOM = b"\xef\xbb\xbf"

# Control sequences of terminals: CSI, OSC (to BEL or ST), and two-byte escapes.
_TERMINAL = re.compile(
    rb"\x1b(?:\[[0-9;:?<=>]{0,64}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\)|[@-Z\\^_=>()#][0AB]?)"
)

# Control characters that text does not have (tab, newline, carriage return, backspace, escape, form feed are fine).
_CONTROL = bytes(c for c in range(32) if c not in b"\t\n\r\b\x1b\f\x07\x0b")

_HEAD = 65536
_BINARY_SHARE = 0.05
_SNIFFED = 16  # bytes that tell the encoding; of a live job no more is waited for


class Decoder:
    """Takes a stream block by block (`feed`), and gives UTF-8 without NULs and backspaces. `name` is for errors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._first: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        self._judged = False

    def feed(self, data: bytes) -> bytes:
        """The next block. Raises InputError, naming the stream and what to do, once it is known to be no text."""
        if self._first is not None:
            self._first += data
            if len(self._first) < _SNIFFED:
                return b""
            data, self._first = self._begin(self._first), None
        return self._decoded(data)

    def finish(self) -> bytes:
        """What is left at the end of the stream. Raises InputError as `feed` does."""
        data = b""
        if self._first is not None:
            data, self._first = self._begin(self._first), None
        data = self._decoded(data, final=True)
        self._judge()
        return data

    def _begin(self, data: bytes) -> bytes:
        """Choose the encoding by the first bytes, as many whatever the block, and take a byte order mark off."""
        encoding = next((encoding for bom, encoding in _BOMS if data.startswith(bom)), None) or _without_bom(
            data[:_SNIFFED]
        )
        if encoding is not None:
            self._decoder = codecs.getincrementaldecoder(encoding)("replace")
            return data
        return data.removeprefix(_UTF8_BOM)

    def _decoded(self, data: bytes, *, final: bool = False) -> bytes:
        if self._decoder is not None:
            data = self._decoder.decode(data, final).encode("utf-8", "replace")
        if not self._judged:
            self._head += data[: _HEAD - len(self._head)]
            if len(self._head) >= _HEAD:
                self._judge()
        # NULs are holes that a network file system leaves in a log, or a line in UTF-16 amid others; some progress bars
        # go back over themselves with backspaces.
        if b"\x00" in data or b"\x08" in data:
            data = data.translate(None, b"\x00\x08")
        return data

    def _judge(self) -> None:
        self._judged = True
        head, self._head = self._head, b""
        if is_binary(head):
            raise InputError(
                f"{self._name} is not a text file: give commcheck the log that the job wrote (stdout and stderr as text)"
            )


def _without_bom(data: bytes) -> str | None:
    """UTF-16 that does not say so: in Western text every other byte is NUL."""
    half = len(data) // 2
    if half < 8:
        return None
    even, odd = data[: 2 * half : 2].count(0), data[1 : 2 * half : 2].count(0)
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and odd < 0.1 * half else None


def plain(block: bytes) -> bytes:
    """Whole lines without a terminal's control sequences, none of which goes beyond its line."""
    return _TERMINAL.sub(b"", block) if b"\x1b" in block else block


def is_binary(head: bytes) -> bool:
    """Whether the first bytes of a file are something else than text."""
    if not head:
        return False
    # A few NUL bytes are what a truncated log file on a network file system shows; many are a binary format.
    odd = len(head) - len(head.translate(None, _CONTROL))
    return odd > max(8, len(head) * _BINARY_SHARE)


def text_of(raw: bytes) -> str:
    """One line as text. Bytes that are no UTF-8 become replacement characters."""
    return raw.decode("utf-8", "replace")


def segments(raw: bytes) -> list[bytes]:
    """A line's visible parts: progress bars rewrite a line after each carriage return."""
    if b"\r" not in raw:
        return [raw]
    return [part for part in raw.split(b"\r") if part.strip()]
