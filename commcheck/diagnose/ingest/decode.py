"""From a file's bytes to clean UTF-8 bytes with the line structure kept."""

import re

from commcheck.errors import InputError

_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

_PACKED = (
    (b"\x1f\x8b", "gzip", "gunzip -c"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"\xfd7zXZ\x00", "xz", "xz -dc"),
)

# Control sequences of terminals: CSI, OSC (to BEL or ST), and two-byte escapes.
_TERMINAL = re.compile(
    rb"\x1b(?:\[[0-9;:?<=>]{0,64}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\)|[@-Z\\^_=>()#][0AB]?)"
)

# Control characters that text does not have (tab, newline, carriage return, backspace, escape, form feed are fine).
_CONTROL = bytes(c for c in range(32) if c not in b"\t\n\r\b\x1b\f\x07\x0b")

_HEAD = 65536
_BINARY_SHARE = 0.05


def clean(name: str, data: bytes) -> bytes:
    """`data` as UTF-8 text without terminal codes. Newlines stay where they are, so line numbers hold.

    Raises InputError, naming `name` and what to do, when it is compressed or not text."""
    head = data[:_HEAD]
    for magic, kind, command in _PACKED:
        if head.startswith(magic):
            raise InputError(
                f"{name} is compressed ({kind}): unpack it first, e.g. `{command} {name} | commcheck diagnose -`"
            )
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            data = data.decode(encoding, "replace").encode("utf-8", "replace")
            head = data[:_HEAD]
            break
    if is_binary(head):
        raise InputError(
            f"{name} is not a text file: give commcheck the log that the job wrote (stdout and stderr as text)"
        )
    if b"\x1b" in data:
        data = _TERMINAL.sub(b"", data)
    if b"\x08" in data:  # some progress bars go back over themselves
        data = data.replace(b"\x08", b"")
    return data.removeprefix(b"\xef\xbb\xbf")


def is_binary(head: bytes) -> bool:
    """Whether the first bytes of a file are something else than text."""
    if not head:
        return False
    # A few NUL bytes are what a truncated log file on a network file system shows; many are a binary format.
    odd = len(head) - len(head.translate(None, _CONTROL))
    return odd > max(8, len(head) * _BINARY_SHARE)


def text_of(raw: bytes) -> str:
    """One line as text. Bytes that are no UTF-8 become replacement characters; NULs are dropped."""
    return raw.decode("utf-8", "replace").replace("\x00", "")


def segments(raw: bytes) -> list[bytes]:
    """A line's visible parts: progress bars rewrite a line after each carriage return."""
    if b"\r" not in raw:
        return [raw]
    return [part for part in raw.split(b"\r") if part.strip()]
