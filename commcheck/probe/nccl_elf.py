"""What a shared library's file says without being loaded: what it needs, where it looks for it, its texts.

64-bit little-endian ELF alone, which is what there are libnccl builds of (x86-64 and AArch64)."""

import re
import struct
from typing import BinaryIO

from commcheck.model.base import Value

_HEADER = 64
_SECTION = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
_ENTRY = struct.Struct("<qQ")  # Elf64_Dyn
_NEEDED, _RPATH, _RUNPATH = 1, 15, 29  # elf.h
_NAME = re.compile(rb"NCCL_[A-Z0-9_]*[A-Z0-9](?=\0)")  # any byte may come before: a constant need not end in a zero
_VERSION = re.compile(rb"NCCL version (\d{1,2})\.(\d{1,2})\.(\d{1,2})(?=[+\0])")
LARGEST = 64 * 1024 * 1024
"""Bytes of a section that are read; libnccl 2.32 has half a megabyte of texts beside 450 MB of GPU code."""


class Needs(Value, frozen=True):
    """What a library's dynamic section says. `rpath` is searched before LD_LIBRARY_PATH, `runpath` after it."""

    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


def needs(path: str) -> Needs:
    """The libraries that `path` needs and the directories that it names, $ORIGIN put in. Raises OSError, or ValueError
    for a file that is no such library."""
    with open(path, "rb") as file:
        sections = _sections(file)
        dynamic, texts = _read(file, sections, ".dynamic"), _read(file, sections, ".dynstr")
    origin = path.rpartition("/")[0] or "."
    found: dict[int, list[str]] = {_NEEDED: [], _RPATH: [], _RUNPATH: []}
    for offset in range(0, len(dynamic) - _ENTRY.size + 1, _ENTRY.size):
        tag, value = _ENTRY.unpack_from(dynamic, offset)
        if tag == 0:
            break
        if tag in found and value < len(texts):
            found[tag].append(texts[value : texts.index(b"\0", value)].decode(errors="replace"))

    def directories(tag: int) -> tuple[str, ...]:
        joined = ":".join(found[tag]).replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
        return tuple(d for d in joined.split(":") if d)

    return Needs(needed=tuple(found[_NEEDED]), rpath=directories(_RPATH), runpath=directories(_RUNPATH))


def variables(path: str) -> tuple[str, ...]:
    """Every NCCL_ name that ends a text in the library, sorted. Raises OSError or ValueError as `needs`."""
    return tuple(sorted({name.decode() for name in _NAME.findall(_texts(path))}))


def version(path: str) -> int:
    """The version of which the library would tell at its start, as NCCL counts: 23203. Raises OSError, or ValueError for a file
    that is no such library."""
    found = _VERSION.search(_texts(path))
    if found is None:
        raise ValueError("no version of NCCL is in it")
    major, minor, patch = map(int, found.groups())
    return major * 10000 + minor * 100 + patch if (major, minor) >= (2, 9) else major * 1000 + minor * 100 + patch


def _texts(path: str) -> bytes:
    with open(path, "rb") as file:
        sections = _sections(file)
        return b"".join(_read(file, sections, name) for name in sections if name.startswith(".rodata"))


def _sections(file: BinaryIO) -> dict[str, tuple[int, int]]:
    """Offset and size of each section, by name."""
    header = file.read(_HEADER)
    if len(header) < _HEADER or header[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", header, 40)
    size, count, names = struct.unpack_from("<HHH", header, 58)
    if size != _SECTION.size or names >= count:
        raise ValueError("it has no table of sections")
    file.seek(table)
    raw = file.read(size * count)
    if len(raw) < size * count:
        raise ValueError("it is cut off")
    rows = [_SECTION.unpack_from(raw, i * size) for i in range(count)]
    file.seek(rows[names][4])
    texts = file.read(min(rows[names][5], LARGEST))
    found = {}
    for row in rows:
        end = texts.find(b"\0", row[0])
        found[texts[row[0] : end].decode(errors="replace")] = (row[4], row[5])
    return found


def _read(file: BinaryIO, sections: dict[str, tuple[int, int]], name: str) -> bytes:
    offset, size = sections.get(name, (0, 0))
    file.seek(offset)
    return file.read(min(size, LARGEST))
