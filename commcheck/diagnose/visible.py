"""What CUDA_VISIBLE_DEVICES leaves: numbers, names of GPUs or of MIG instances, and where the list is cut. Pure.

Sources: CUDA programming guide, "CUDA Environment Variables" (the list ends before the first entry that is none; a name may
be shortened as long as it fits one GPU); torch/cuda/__init__.py, _parse_visible_devices, which repeats what the driver does
(the first entry says of which kind all are, a number is what the entry begins with, and one that stands there twice leaves
nothing); MIG user guide, "CUDA Visible Devices" (MIG-<UUID>, until driver 460 MIG-GPU-<UUID>/<instance>/<compute instance>; with
CUDA 11 and 12 a process enumerates a single instance).
"""

import re

from commcheck.model.base import Value

NAME = "CUDA_VISIBLE_DEVICES"
_NUMBER = re.compile(r"[ \t]*\+?([0-9]{1,9})(.*)", re.DOTALL)
_WHOLE, _SLICE = "GPU-", "MIG-"
_OLD_SLICE = re.compile(r"MIG-(GPU-[0-9a-fA-F-]+)/[0-9]+/[0-9]+")
_NOTHING = frozenset({"", "-1", "nodevfiles", "none", "void"})
"""What people, Slurm (NoDevFiles) and container tools write to hide all GPUs, or those that follow."""


class Visible(Value, frozen=True):
    """A list as CUDA reads it. `devices`: what is left, in its order; numbers are written plainly. `cut`: the entry that ended
    it, None where none did, with `behind` entries after it. `repeated`: what stands there twice. `unread`: the first entry
    of which CUDA reads the beginning alone. `more`: MIG instances after the first, which a process does not see."""

    devices: tuple[str, ...] = ()
    cut: str | None = None
    behind: int = 0
    repeated: str = ""
    unread: str = ""
    more: int = 0


def read(value: str) -> Visible:
    """Any text, as CUDA takes it."""
    entries = value.split(",")
    kind = next((k for k in (_WHOLE, _SLICE) if value.startswith(k)), "")
    found: list[str] = []
    cut: str | None = None
    unread = ""
    for entry in entries:
        device, rest = _entry(entry, kind)
        if device and any(_one(device, other) for other in found):
            return Visible(repeated=device)
        if not device:
            cut = entry
            break
        unread = unread or (entry if rest else "")
        found.append(device)
    seen = found[:1] if kind == _SLICE else found
    behind = 0 if cut is None else len(entries) - len(found) - 1
    return Visible(devices=tuple(seen), cut=cut, behind=behind, unread=unread, more=len(found) - len(seen))


def _entry(entry: str, kind: str) -> tuple[str, bool]:
    """The device that an entry names ("": none), and whether a part of it is not read."""
    if kind:
        return (entry.strip(), False) if entry.strip().startswith(kind) else ("", False)
    match = _NUMBER.fullmatch(entry)
    return ("", False) if match is None else (str(int(match[1])), bool(match[2].strip()))


def _one(device: str, other: str) -> bool:
    """The same device: a name may be shortened; a number may not."""
    if device == other or not device.startswith((_WHOLE, _SLICE)) or not other.startswith((_WHOLE, _SLICE)):
        return device == other
    shorter, longer = sorted((device, other), key=len)
    return len(shorter) > len(_WHOLE) and "/" not in longer and longer.startswith(shorter)


def same(device: str, other: str) -> bool:
    """Whether two processes of a host that see these see one device. A number and a name cannot be compared."""
    return bool(device) and _one(device, other)


def is_slice(device: str) -> bool:
    """A MIG instance."""
    return device.startswith(_SLICE)


def gpu_of(device: str) -> str:
    """The GPU that a MIG instance is a part of, where its name tells that; "" elsewhere."""
    match = _OLD_SLICE.fullmatch(device)
    return match[1] if match else ""


def expectation(value: str) -> str:
    """What would be accepted instead, and why; "" where the list says what it seems to say."""
    found = read(value)
    if found.repeated:
        return f"a list in which every GPU stands once (for the sake of the second {found.repeated} CUDA shows none at all)"
    if found.unread:
        return f"numbers and commas alone (of {found.unread.strip()!r} CUDA reads the number that it begins with)"
    if found.cut is not None and _meant(found):
        left = f"only {', '.join(found.devices)}" if found.devices else "no GPU"
        where = repr(found.cut.strip()) if found.cut.strip() else "an empty entry"
        return f"numbers, or names as `nvidia-smi -L` has them, and not both (CUDA stops at {where}: it shows {left})"
    if found.more:
        return f"one MIG instance (of {found.more + 1} a process sees the first alone, with CUDA 11 and 12)"
    return ""


def blinds(value: str) -> bool:
    """Whether nothing at all is seen, and that is not what the list says."""
    return not read(value).devices and bool(expectation(value))


def _meant(found: Visible) -> bool:
    """The entry that ended the list looks as if it was to be a device, or as if the ones behind it were to be seen."""
    entry = (found.cut or "").strip().lower()
    return entry != "-1" and (entry not in _NOTHING or found.behind > 0)
