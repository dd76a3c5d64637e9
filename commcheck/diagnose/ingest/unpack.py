"""Compressed streams, told by their first bytes, unpacked block by block."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from commcheck.errors import InputError

_ZSTD = b"\x28\xb5\x2f\xfd"
_LONGEST_MAGIC = 6
BLOCK = 1 << 20
_SLICE = 2048
"""Bytes of zstd that are unpacked at once: the most that they can become, 64 MB, fits into memory."""


class _Readable(io.RawIOBase):
    """Blocks as a file that can be read once, from its beginning to its end."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def unpacked(
    name: str, blocks: Iterable[bytes], cut: Callable[[int, str], None] = lambda _read, _why: None
) -> Iterator[bytes]:
    """The blocks of a stream, unpacked where it is compressed (gzip, zstd, bzip2, xz), also when it ends too early:
    `cut` is then told how many bytes came out of it, and what is wrong behind them.

    Raises InputError, naming the stream and the remedy, where it is damaged from its beginning or no unpacker is there."""
    rest = iter(blocks)
    head = b""
    for block in rest:
        head += block
        if len(head) >= _LONGEST_MAGIC:
            break
    opener = next((opener for magic, opener in _OPENERS if head.startswith(magic)), None)
    if opener is None:
        if head:
            yield head
        yield from rest
        return
    read = 0
    try:
        file = opener(name, io.BufferedReader(_Readable(_before(head, rest)), BLOCK))
        while block := file.read1(BLOCK):  # one step at a time: an error at the end takes nothing with it
            read += len(block)
            yield block
    except _errors() as error:
        # A job that died leaves a stream without its end: what came before it is as good as ever.
        if not read:
            raise InputError(
                f"{name} is compressed but damaged ({error}): give the text that it was made from"
            ) from error
        cut(read, str(error))


def _before(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _gzip(name: str, file: io.BufferedReader) -> Any:
    import gzip

    return gzip.GzipFile(fileobj=file, mode="rb")


def _bzip2(name: str, file: io.BufferedReader) -> Any:
    import bz2

    return bz2.BZ2File(file, "rb")


def _xz(name: str, file: io.BufferedReader) -> Any:
    import lzma

    return lzma.LZMAFile(file, "rb")


def _zstd(name: str, file: io.BufferedReader) -> Any:
    """Python 3.14 unpacks zstd by itself; before, the package `zstandard` does."""
    try:
        from importlib import import_module

        return import_module("compression.zstd").ZstdFile(file, "rb")
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError as error:
        raise InputError(
            f"{name} is compressed (zstd): `pip install 'commcheck[zstd]'`, or `zstd -dc {name} | commcheck diagnose -`"
        ) from error
    return _Frames(zstandard.ZstdDecompressor, file)


class _Frames:
    """The frames of a zstd stream, one after the other. The package's own reader does not say that the last one has no
    end."""

    def __init__(self, decompressor: Callable[[], Any], file: io.BufferedReader) -> None:
        self._decompressor, self._file = decompressor, file
        self._packed = b""
        self._at = 0
        self._frame: Any = None
        self._error: Exception | None = None

    def read1(self, _size: int) -> bytes:
        """What comes next; empty at the end. Raises EOFError where a frame is cut off."""
        found: list[bytes] = []
        size = 0
        while size < BLOCK and self._error is None:
            if self._at >= len(self._packed):
                if size:
                    break  # a job that still writes: what has come is not kept back
                self._packed, self._at = self._file.read1(BLOCK), 0
            part = self._packed[self._at : self._at + _SLICE]
            if not part:
                if self._frame is not None:
                    self._error = EOFError("its last frame does not end")
                break
            self._frame = self._frame or self._decompressor().decompressobj()
            try:
                found.append(self._frame.decompress(part))
            except _errors() as error:
                self._error = error
                break
            self._at += len(part)
            if self._frame.eof:
                self._at -= len(self._frame.unused_data)
                self._frame = None
            size += len(found[-1])
        if not size and self._error is not None:
            raise self._error
        return b"".join(found)


def _errors() -> tuple[type[Exception], ...]:
    """What the unpackers raise on damaged streams."""
    import lzma
    import sys
    import zlib

    found: list[type[Exception]] = [EOFError, OSError, zlib.error, lzma.LZMAError]
    loaded = (sys.modules.get(name) for name in ("compression.zstd", "zstandard"))
    found.extend(cast("type[Exception]", module.ZstdError) for module in loaded if module is not None)
    return tuple(found)


_OPENERS: tuple[tuple[bytes, Callable[[str, io.BufferedReader], Any]], ...] = (
    (b"\x1f\x8b", _gzip),
    (_ZSTD, _zstd),
    (b"BZh", _bzip2),
    (b"\xfd7zXZ\x00", _xz),
)
