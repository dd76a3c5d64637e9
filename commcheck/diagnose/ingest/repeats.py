"""Dicts of a pickle whose code has been carried out before, but for its numbers: copies with other numbers, at a tenth of the
time, or what their reader makes of them.

The entries of a recorder's dump are such dicts, thousands of them. What is looked for is a dict of remembered keys, each with
a number, a remembered value, a pair of those, None, a truth value, or a list of such, down to lists in a list; nothing in it
is remembered for later. The first with a code is made by the pickle machine, opcode by opcode, and then learned."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence

_KEY = rb"(?:h.|j.{4})"  # BINGET, LONG_BINGET
_NUMBER = rb"(?:K.|M..|J.{4}|\x8a\x08.{8}|G.{8})"  # BININT1, BININT2, BININT, LONG1 of 8 bytes, BINFLOAT
_ATOM = rb"(?:h.|j.{4}|[N\x88\x89]|" + _NUMBER + rb")"
_LIST = rb"(?:\](?:\(" + _ATOM + rb"*+e)?+)"
_LISTS = rb"(?:\](?:\((?:" + _ATOM + rb"|" + _LIST + rb")*+e)?+)"
_OTHER = rb"(?:h.h.\x86|h.|j.{4}|[N\x88\x89]|" + _LISTS + rb")"
_PAIR = _KEY + rb"(?:" + _NUMBER + rb"|" + _OTHER + rb")"
_DICT = re.compile(rb"\}\((?:" + _PAIR + rb"){0,64}+u", re.DOTALL)
_PAIRS = re.compile(_PAIR, re.DOTALL)
_PARTS = re.compile(rb"((?:\}\()?(?:" + _KEY + _OTHER + rb")*+)(?:(" + _KEY + rb")(" + _NUMBER + rb")|u)", re.DOTALL)
MOST_KINDS = 4096
"""Codes that are learned: what has more is not alike."""
_Dict = dict[object, object]
Maker = Callable[[Sequence[int | float]], object]
"""What is made of the numbers of a dict, in the order of their keys."""
Alike = Callable[[_Dict, list[object]], Maker | None]
"""For a dict, and the keys of the numbers in which others differ from it, what is to be made of those others; None: dicts."""


class _Row:
    """A dict that lies in the pickle. `code`: what stands before each number, with the number's opcode, and before the end;
    `numbers`: each with its key, as they are written."""

    def __init__(self, begin: int, end: int, parts: list[tuple[bytes, bytes, bytes]]) -> None:
        self.begin, self.end = begin, end
        self.numbers = [(key, number) for _, key, number in parts[:-1]]
        before = [other + key + number[: _OPCODE.get(number[:1], 0)] for other, key, number in parts[:-1]]
        self.code = (*before, parts[-1][0] + b"u")


class _Kind:
    """A code that was learned: how its numbers lie there, and what is made of them. `next`: the kind that came after it the
    last time, for calls repeat as a training loop does."""

    def __init__(self, row: _Row, make: Maker, size: int) -> None:
        self.code, self.make, self.size = row.code, make, size
        forms = [_FORMS[number[:1]] for _, number in row.numbers]
        self.reals = tuple(n for n, form in enumerate(forms) if form == "8s")
        self.lies = struct.Struct("<" + "".join(f"{len(c)}s{f}" for c, f in zip(row.code, [*forms, ""], strict=True)))
        self.next = self

    def numbers(self, data: bytes, at: int) -> Sequence[int | float] | None:
        """Those of the dict that lies there, if it is of this kind."""
        try:
            fields = self.lies.unpack_from(data, at)
        except struct.error:  # nearer to the end than that
            return None
        if fields[::2] != self.code:
            return None
        if self.reals:
            return [_REAL.unpack(v)[0] if n in self.reals else v for n, v in enumerate(fields[1::2])]
        return fields[1::2]


class Repeats:
    """What is known of the dicts of one pickle. `memo`: the machine's own; `most`: values in all."""

    def __init__(self, data: bytes, memo: dict[int, object], most: int, alike: Alike | None) -> None:
        self._data, self._memo, self._left, self._alike = data, memo, most, alike
        self._kinds: dict[tuple[bytes, ...], _Kind | None] = {}
        self._last: _Kind | None = None
        self._pending: _Row | None = None

    def at(self, begin: int) -> tuple[list[object], int]:
        """What is made of the dicts from here on whose code is known, and where they end; nothing, and what is behind the
        opcode, where the next one is to be made opcode by opcode."""
        data, made, last, left = self._data, list[object](), self._last, self._left
        while left > 0:
            kind = None if last is None else last.next
            numbers = None if kind is None else kind.numbers(data, begin)
            if numbers is None:
                kind = self._known(begin)
                numbers = None if kind is None else kind.numbers(data, begin)
            if kind is None or numbers is None:
                break
            made.append(kind.make(numbers))
            begin += kind.lies.size
            left -= kind.size
            if last is not None:
                last.next = kind
            last = kind
        self._last, self._left = last, left
        if not made:
            return made, begin + 1
        self._pending = None
        return made, begin

    def learn(self, end: int, value: object) -> None:
        """A dict was made that ends here."""
        row = self._pending
        if row is None or row.end != end or not isinstance(value, dict):
            return
        self._pending = None
        keys = [self._memo[int.from_bytes(key[1:], "little")] for key, _ in row.numbers]
        self._kinds[row.code] = None
        if len(_PAIRS.findall(self._data, row.begin + 2, row.end - 1)) != len(value):
            return  # a key comes twice
        kind = _Kind(row, (self._alike and self._alike(value, keys)) or _copies(value.copy(), keys), len(value) + 1)
        numbers = kind.numbers(self._data, row.begin)
        # What was made of the same code opcode by opcode is to be the same.
        if numbers is not None and [repr(n) for n in numbers] == [_shown(value[key]) for key in keys]:
            self._kinds[row.code] = kind

    def forget(self) -> None:
        """What is remembered is replaced: the same code is not the same value any more."""
        self._kinds.clear()
        self._last = self._pending = None

    def _known(self, begin: int) -> _Kind | None:
        """The kind of the dict that lies here; else, where it can be learned, it is noted."""
        self._pending = None
        whole = _DICT.match(self._data, begin)
        if whole is None:
            return None
        row = _Row(begin, whole.end(), _PARTS.findall(self._data, begin, whole.end()))
        if row.code not in self._kinds and len(self._kinds) < MOST_KINDS:
            self._pending = row
        return self._kinds.get(row.code)


def _copies(first: _Dict, keys: list[object]) -> Maker:
    def make(numbers: Sequence[int | float]) -> _Dict:
        copy = first.copy()
        copy.update(zip(keys, numbers, strict=True))
        return copy

    return make


def _shown(value: object) -> str:
    """Of a number alone: what else is here may refer to itself."""
    return repr(value) if type(value) in (int, float) else ""


_FORMS = {b"K": "B", b"M": "H", b"J": "i", b"\x8a": "q", b"G": "8s"}
_OPCODE = {b"K": 1, b"M": 1, b"J": 1, b"\x8a": 2, b"G": 1}
_REAL = struct.Struct(">d")
