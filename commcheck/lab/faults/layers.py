"""Values that several faults change at once, and take back in any order: files, sysctls, settings of links.

Each change is a layer over the value that was there first. A layer that is taken away leaves the others in force, and
the last one leaves what was there first: a fault that ends early must not undo one that was made after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from threading import Lock

from commcheck.lab.host import Host, Space

Edit = Callable[[str], str]

_LOCK = Lock()
_NUMBERS = count()
_LAYERS: dict[Hashable, tuple[str, dict[int, Edit]]] = {}


@contextmanager
def layer(key: Hashable, read: Callable[[], str], write: Callable[[str], None], edit: Edit) -> Iterator[None]:
    """What `read` gives and `write` sets, known as `key`, is as `edit` makes it while this is open."""
    number = next(_NUMBERS)
    with _LOCK:
        base, edits = _LAYERS[key] if key in _LAYERS else (read(), {})
        write(_applied(base, [*edits.values(), edit]))
        edits[number] = edit
        _LAYERS[key] = (base, edits)
    try:
        yield
    finally:
        with _LOCK:
            del edits[number]
            if not edits:
                del _LAYERS[key]
            write(_applied(base, list(edits.values())))


def _applied(base: str, edits: list[Edit]) -> str:
    for edit in edits:
        base = edit(base)
    return base


def file_edited(host: Host, file: str, edit: Edit) -> AbstractContextManager[None]:
    """`file` (one of those that a host has for itself) is as `edit` makes it."""
    path = host.path(file)

    def write(text: str) -> None:
        path.write_text(text, encoding="utf-8")

    return layer((host.pid, file), lambda: path.read_text(encoding="utf-8"), write, edit)


def sysctl(space: Space, name: str, value: str) -> AbstractContextManager[None]:
    """The network sysctl `name` of `space` is `value`."""

    def write(text: str) -> None:
        space.sysctl(name, text)

    return layer((space.pid, name), lambda: space.sysctl(name), write, lambda _: value)


def link(space: Space, device: str, setting: str, value: str) -> AbstractContextManager[None]:
    """`ip link set` of `device` in `space`: `setting` ("mtu", "gso_max_segs", "address") is `value`."""

    def read() -> str:
        return str(json.loads(space.ip("-j", "-d", "link", "show", "dev", device))[0][setting])

    def write(text: str) -> None:
        space.ip("link", "set", "dev", device, setting, text)

    return layer((space.pid, device, setting), read, write, lambda _: value)


def admin_down(space: Space, device: str) -> AbstractContextManager[None]:
    """`device` of `space` is administratively down."""

    def read() -> str:
        return "up" if "UP" in json.loads(space.ip("-j", "link", "show", "dev", device))[0]["flags"] else "down"

    def write(text: str) -> None:
        space.ip("link", "set", "dev", device, text)

    return layer((space.pid, device, "up or down"), read, write, lambda _: "down")
