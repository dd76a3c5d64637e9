"""A small picture out of rows of bytes. Pure."""

import struct
import zlib
from collections.abc import Iterable, Sequence

Colour = tuple[int, int, int]


def png(rows: Sequence[bytes], palette: Iterable[Colour], *, clear: bool = False) -> bytes:
    """An image with a palette, one byte per dot, as https://www.w3.org/TR/png/ has it. `clear`: through the palette's first
    colour one sees what is behind the picture."""
    width = len(rows[0]) if rows else 0
    head = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)
    colours = b"".join(bytes(one) for one in palette)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", colours),
        *([(b"tRNS", b"\0")] if clear else []),
        (b"IDAT", data),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def hex_of(shade: Colour) -> str:
    """As CSS writes it."""
    return "#" + bytes(shade).hex()
