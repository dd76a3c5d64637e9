"""Read a pickle that holds plain data, and nothing else: no opcode that names, calls or builds an object is known here.

`pickle.load` runs whatever a file tells it to (its documentation says so), and a dump that came with a bug report is
anybody's file. What may come out is None, bool, int, float, str, bytes, list, tuple and dict, with keys that are none of
the containers. Opcodes and their arguments are those of CPython's Lib/pickletools.py, protocols 0 to 5; c10's own
pickler (torch/csrc/jit/serialization/pickler.cpp) writes a part of protocol 2.

Thousands of entries of a recorder's dump have the same code but for the numbers in it. A dict whose code is that of an
earlier one, but for its numbers, is a copy of that one with other numbers: see `repeats`.
"""

import struct
from collections.abc import Callable, Collection

from commcheck.diagnose.ingest.repeats import Alike, Repeats

LARGEST = 64 << 20
"""Bytes of a pickle that is read; a recorder's buffer of 2000 entries with their frames has under 10 MB."""
DEEPEST = 32
"""Containers within each other; a recorder's dump has five."""
MOST = 4_000_000
"""Values in all, each counted as often as it is referred to: what the memo shares can grow without bound."""
_LINE = 1 << 20
_DIGITS = 4000  # of an int in text; CPython's own limit is 4300, beyond which a conversion takes quadratic time
_KEY_BITS = 64  # larger ints can be chosen to collide in a dict

_REFUSED = {
    b"c": "GLOBAL", b"R": "REDUCE", b"b": "BUILD", b"i": "INST", b"o": "OBJ", b"P": "PERSID", b"Q": "BINPERSID",
    b"\x81": "NEWOBJ", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"\x92": "NEWOBJ_EX", b"\x93": "STACK_GLOBAL",
    b"\x8f": "EMPTY_SET", b"\x90": "ADDITEMS", b"\x91": "FROZENSET", b"\x96": "BYTEARRAY8", b"\x97": "NEXT_BUFFER",
    b"\x98": "READONLY_BUFFER",
}  # fmt: skip
"""What is told by its name when it is refused; every other unknown byte is refused as well."""


class NotPlainError(ValueError):
    """The bytes are no pickle, or one that holds more than plain data. The message says which, and where."""


_MARK = object()


class _Reader:
    """A pickle machine without the opcodes that could do anything."""

    def __init__(self, data: bytes, alike: Alike | None, *, copying: bool) -> None:
        self._data = data
        self._at = 0
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self.repeats = Repeats(data, self._memo, MOST, alike) if copying else None

    def run(self) -> object:
        """The one value of the pickle. The opcodes of which a dump mostly consists are carried out here: a call for each
        would take four times as long."""
        data, stack, memo, at, repeats = self._data, self._stack, self._memo, 0, self.repeats
        for _ in range(2 * MOST):
            code = data[at]
            at += 1
            if code == 0x7D and repeats is not None:  # EMPTY_DICT
                made, at = repeats.at(at - 1)
                stack.extend(made or ({},))
            elif code == 0x68:  # BINGET
                stack.append(memo[data[at]])
                at += 1
            elif code == 0x6A:  # LONG_BINGET
                stack.append(memo[int.from_bytes(data[at : at + 4], "little")])
                at += 4
            elif code == 0x71 and stack[-1] is not _MARK:  # BINPUT
                self._remember(data[at], stack[-1])
                at += 1
            elif code == 0x72 and stack[-1] is not _MARK:  # LONG_BINPUT
                self._remember(int.from_bytes(data[at : at + 4], "little"), stack[-1])
                at += 4
            elif code == 0x4B:  # BININT1
                stack.append(data[at])
                at += 1
            elif code == 0x28:
                stack.append(_MARK)
            elif code == 0x2E:
                break
            else:
                self._at = at
                self._step(data[at - 1 : at])
                at = self._at
                if code == 0x75 and repeats is not None:  # SETITEMS
                    repeats.learn(at, stack[-1])
        else:
            raise NotPlainError(f"it has more than {2 * MOST} opcodes")
        if len(stack) != 1 or stack[0] is _MARK:
            raise NotPlainError("it ends with other than one value")
        return stack[0]

    def _step(self, code: bytes) -> None:
        step = _STEPS.get(code)
        if step is None:
            name = _REFUSED.get(code)
            what = f"opcode {name} builds or calls something" if name else f"byte {code!r} is no opcode"
            raise NotPlainError(f"{what} (at offset {self._at - 1}); only plain data is read")
        step(self)

    # -- bytes

    def _take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) != count:
            raise NotPlainError("it is cut off")
        self._at += count
        return part

    def _number(self, form: str) -> int:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
        assert isinstance(value, int)
        if value < 0 and form != "<i":
            raise NotPlainError("a length is negative")
        return value

    def line(self) -> bytes:
        end = self._data.find(b"\n", self._at, self._at + _LINE)
        if end < 0:
            raise NotPlainError("a line does not end")
        text = self._data[self._at : end]
        self._at = end + 1
        return text

    def counted(self, form: str) -> bytes:
        return self._take(self._number(form))

    # -- the stack

    def push(self, value: object) -> None:
        self._stack.append(value)

    def pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise NotPlainError("a value is missing")
        return self._stack.pop()

    def top(self) -> object:
        if not self._stack:
            raise NotPlainError("a value is missing")
        return self._stack[-1]

    def since_mark(self) -> list[object]:
        at = len(self._stack) - 1
        while at >= 0 and self._stack[at] is not _MARK:
            at -= 1
        if at < 0:
            raise NotPlainError("a mark is missing")
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def mark(self) -> None:
        self._stack.append(_MARK)

    def pop_any(self) -> None:
        if not self._stack:
            raise NotPlainError("a value is missing")
        self._stack.pop()

    # -- values

    def decimal(self, *, suffix: bytes) -> None:
        text = self.line()
        if text in (b"00", b"01") and not suffix:
            self.push(text == b"01")
            return
        text = text.removesuffix(suffix)
        if len(text) > _DIGITS:
            raise NotPlainError("an integer is too long")
        self.push(int(text))

    def integer(self, form: str) -> None:
        self.push(self._number(form))

    def long(self, form: str) -> None:
        self.push(int.from_bytes(self.counted(form), "little", signed=True))

    def real(self) -> None:
        (value,) = struct.unpack(">d", self._take(8))
        self.push(value)

    def quoted(self) -> None:
        text = self.line()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise NotPlainError("a string is not quoted")
        import codecs

        self.push(codecs.escape_decode(text[1:-1])[0].decode("utf-8", "surrogateescape"))

    def text(self, form: str) -> None:
        self.push(self.counted(form).decode("utf-8", "surrogatepass"))

    def old_text(self, form: str) -> None:
        self.push(self.counted(form).decode("utf-8", "surrogateescape"))

    def raw(self, form: str) -> None:
        self.push(self.counted(form))

    def protocol(self) -> None:
        number = self._take(1)[0]
        if number > 5:
            raise NotPlainError(f"protocol {number} is not known")

    # -- containers

    def tuple_of(self, count: int) -> None:
        if count:
            items = [self.pop() for _ in range(count)]
            self.push(tuple(reversed(items)))
        else:
            self.push(())

    def append(self, items: list[object]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise NotPlainError("it appends to what is no list")
        target.extend(items)

    def set_items(self, items: list[object]) -> None:
        target = self.top()
        if not isinstance(target, dict):
            raise NotPlainError("it sets items of what is no dict")
        target.update(_pairs(items))

    # -- the memo

    def put(self, at: int) -> None:
        value = self.top()
        if value is _MARK:
            raise NotPlainError("a value is missing")
        self._remember(at, value)

    def _remember(self, at: int, value: object) -> None:
        if self.repeats is not None and at in self._memo:
            self.repeats.forget()
        self._memo[at] = value

    def memoize(self) -> None:
        self.put(len(self._memo))

    def get(self, at: int) -> None:
        if at not in self._memo:
            raise NotPlainError(f"nothing was remembered as {at}")
        self.push(self._memo[at])

    def index(self) -> int:
        text = self.line()
        if len(text) > 20:
            raise NotPlainError("an index is too long")
        return int(text)

    def short_index(self, form: str) -> int:
        return self._number(form)


def _pairs(items: list[object]) -> dict[object, object]:
    """Keys and values in turn."""
    if len(items) % 2:
        raise NotPlainError("a key has no value")
    if all(type(key) is str for key in items[::2]):
        return dict(zip(items[::2], items[1::2], strict=True))
    made: dict[object, object] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float | bytes | None):
            raise NotPlainError(f"a key is a {type(key).__name__}")
        if isinstance(key, int) and key.bit_length() > _KEY_BITS:
            raise NotPlainError("a key is too large an integer")
        made[key] = value
    return made


_Step = Callable[[_Reader], None]

_STEPS: dict[bytes, _Step] = {
    b"\x80": _Reader.protocol,
    b"\x95": lambda r: _skip(r, "<Q"),  # FRAME: a hint for readers of streams
    b"(": _Reader.mark,
    b"0": _Reader.pop_any,
    b"1": lambda r: _skip_items(r.since_mark()),
    b"2": lambda r: r.push(r.top()),
    b"N": lambda r: r.push(None),
    b"\x88": lambda r: r.push(True),
    b"\x89": lambda r: r.push(False),
    b"I": lambda r: r.decimal(suffix=b""),
    b"L": lambda r: r.decimal(suffix=b"L"),
    b"J": lambda r: r.integer("<i"),
    b"K": lambda r: r.integer("<B"),
    b"M": lambda r: r.integer("<H"),
    b"\x8a": lambda r: r.long("<B"),
    b"\x8b": lambda r: r.long("<I"),
    b"F": lambda r: r.push(float(r.line())),
    b"G": _Reader.real,
    b"S": _Reader.quoted,
    b"T": lambda r: r.old_text("<I"),
    b"U": lambda r: r.old_text("<B"),
    b"V": lambda r: r.push(r.line().decode("raw_unicode_escape")),
    b"X": lambda r: r.text("<I"),
    b"\x8c": lambda r: r.text("<B"),
    b"\x8d": lambda r: r.text("<Q"),
    b"B": lambda r: r.raw("<I"),
    b"C": lambda r: r.raw("<B"),
    b"\x8e": lambda r: r.raw("<Q"),
    b"]": lambda r: r.push([]),
    b"}": lambda r: r.push({}),
    b")": lambda r: r.tuple_of(0),
    b"\x85": lambda r: r.tuple_of(1),
    b"\x86": lambda r: r.tuple_of(2),
    b"\x87": lambda r: r.tuple_of(3),
    b"t": lambda r: r.push(tuple(r.since_mark())),
    b"l": lambda r: r.push(r.since_mark()),
    b"d": lambda r: r.push(_pairs(r.since_mark())),
    b"a": lambda r: r.append([r.pop()]),
    b"e": lambda r: r.append(r.since_mark()),
    b"s": lambda r: r.set_items([r.pop(), r.pop()][::-1]),
    b"u": lambda r: r.set_items(r.since_mark()),
    b"p": lambda r: r.put(r.index()),
    b"q": lambda r: r.put(r.short_index("<B")),
    b"r": lambda r: r.put(r.short_index("<I")),
    b"\x94": _Reader.memoize,
    b"g": lambda r: r.get(r.index()),
    b"h": lambda r: r.get(r.short_index("<B")),
    b"j": lambda r: r.get(r.short_index("<I")),
}


def _skip(reader: _Reader, form: str) -> None:
    """Read a number that says nothing here."""
    reader.short_index(form)


def _skip_items(items: list[object]) -> None:
    """POP_MARK throws away what it takes."""


def load(data: bytes, alike: Alike | None = None, *, copying: bool = True) -> object:
    """The value of a pickle of plain data. Raises NotPlainError for everything else; never anything but that. In time and
    memory linear in the size of `data`.

    `alike`: asked what is to stand, instead of dicts, for those whose code is that of an earlier one but for their numbers.
    `copying`: false to carry out every opcode."""
    if len(data) > LARGEST:
        raise NotPlainError(f"it has {len(data)} bytes, more than {LARGEST}")
    reader = _Reader(data, alike, copying=copying)
    try:
        value = reader.run()
    except NotPlainError:
        raise
    except IndexError as error:
        raise NotPlainError("it is cut off, or a value is missing") from error
    except KeyError as error:
        raise NotPlainError(f"nothing was remembered as {error}") from error
    except (ValueError, struct.error, OverflowError) as error:  # an int, float or text that is none
        raise NotPlainError(f"a value cannot be read ({type(error).__name__})") from error
    _check(value)
    return value


_CONTAINERS = frozenset((list, tuple, dict))


def _check(value: object) -> None:
    """Raise NotPlainError where the value is too deep, refers to itself, or shares its parts too often. A part that is shared
    is looked at once at each depth, and counts as often as it is there."""
    level: dict[int, tuple[object, int]] = {id(value): (value, 1)} if type(value) in _CONTAINERS else {}
    seen = 0
    for _ in range(DEEPEST + 1):
        inner: dict[int, tuple[object, int]] = {}
        for container, times in level.values():
            parts: Collection[object] = ()
            if isinstance(container, dict):
                parts = container.values()
            elif isinstance(container, list | tuple):
                parts = container
            seen += times * len(parts)
            if seen > MOST:
                raise NotPlainError(f"it holds more than {MOST} values")
            for part in parts:
                if type(part) in _CONTAINERS:
                    known = inner.get(id(part))
                    inner[id(part)] = (part, times if known is None else times + known[1])
        level = inner
        if not level:
            return
    raise NotPlainError(f"it is nested more than {DEEPEST} deep, or within itself")
