"""A bundle as one file: a zip archive of JSON members, stored as they are, the same bytes for the same bundle.

Nothing is ever unpacked onto a disk, nothing is decompressed, and only members with a known name are read: what an
archive from elsewhere may hold besides is refused with the reason."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from commcheck.errors import InputError, UsageError
from commcheck.model.case import Case
from commcheck.model.diagnosis import Report
from commcheck.model.plan import Plan
from commcheck.replay.bundle import SCHEMA, Bundle, Head
from commcheck.scenarios.kinds import file_type

LARGEST = 1 << 28
"""Bytes of a bundle that is read; one of a thousand ranks has some tens of megabytes."""
HEAD = "bundle.json"
MEMBERS = (HEAD, "plan.json", "scenario.json", "case.json", "report.json")
OPTIONAL = frozenset(("scenario.json",))
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip archive can say."""
_BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError,
    struct.error, OverflowError,
)  # fmt: skip
"""What the zipfile module raises for archives that are damaged or of another kind."""
AGAIN = "copy it again, or save it anew"


def to_bytes(bundle: Bundle) -> bytes:
    """The file's content. The same bundle gives the same bytes."""
    whole = io.BytesIO()
    values: dict[str, Any] = dict(
        zip(MEMBERS, (bundle.head, bundle.plan, bundle.scenario, bundle.case, bundle.report), strict=True)
    )
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name, value in values.items():
            if value is None:
                continue
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = 0o644 << 16
            member.create_system = 3  # as on Linux, wherever it is written
            data = msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1)
            archive.writestr(member, data + b"\n")
    return whole.getvalue()


def save(bundle: Bundle, path: str | os.PathLike[str]) -> None:
    """Write it, whole or not at all. Raises UsageError."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.writing")
    try:
        temporary.write_bytes(to_bytes(bundle))
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UsageError(f"{target}: the bundle cannot be written: {error.strerror or error}") from error


def check_target(option: str, path: str) -> None:
    """Raise UsageError where no bundle can be written, before any work is done."""
    folder = Path(path).parent
    if Path(path).is_dir():
        raise UsageError(f"{option} {path}: is a folder; name a file")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{option} {path}: {folder} is no folder that can be written")


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a zip archive does."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def load(path: str | os.PathLike[str]) -> Bundle:
    """Read one. Raises InputError that names the file, the member and what to do."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if len(data) > LARGEST:
        raise InputError(f"{path}: has more than {LARGEST >> 20} MiB, which no bundle has: is it one?")
    return from_bytes(data, str(path))


def from_bytes(data: bytes, source: str) -> Bundle:
    """The bundle in a file's content; `source` names it in errors. Raises InputError."""
    members = _members(data, source)
    head = _decoded(members, HEAD, source, dict[str, Any])
    if head.get("schema") != SCHEMA:
        raise InputError(
            f"{source}: {HEAD}: field schema is {head.get('schema')!r}, this commcheck reads {SCHEMA!r}; replay it with "
            f"the commcheck that saved it"
        )
    return Bundle(
        head=_decoded(members, HEAD, source, Head),
        plan=_decoded(members, "plan.json", source, Plan),
        case=_decoded(members, "case.json", source, Case),
        report=_decoded(members, "report.json", source, Report),
        scenario=_decoded(members, "scenario.json", source, file_type()) if "scenario.json" in members else None,
    )


def _members(data: bytes, source: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                name = member.filename
                if name not in MEMBERS:
                    raise InputError(f"{source}: holds {name[:80]!r}, which no bundle does: it is some other archive")
                if name in found:
                    raise InputError(f"{source}: holds {name} twice: it was tampered with; {AGAIN}")
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(data):
                    raise InputError(f"{source}: {name} is compressed, which commcheck never does; save it anew")
                found[name] = archive.read(member)
    except _BROKEN as error:
        raise InputError(f"{source}: no whole bundle ({error}): {AGAIN}") from error
    for name in MEMBERS:
        if name not in found and name not in OPTIONAL:
            raise InputError(f"{source}: lacks {name}: it is some other archive, or cut off; {AGAIN}")
    return found


def _decoded(members: dict[str, bytes], name: str, source: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(members[name], type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{source}: {name}: {error}; {AGAIN}") from error
