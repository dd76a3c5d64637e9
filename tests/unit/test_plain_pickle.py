import collections
import contextlib
import os
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commcheck.diagnose.ingest.plain_pickle import NotPlainError, load

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text()


def plain(scalars):
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner)
            | st.lists(inner).map(tuple)
            | st.dictionaries(KEYS, inner)
            | st.tuples(inner, inner).map(lambda pair: [pair[0], pair[0], pair[1]])  # shared: comes back by the memo
        ),
        max_leaves=25,
    )


@given(plain(SCALARS), st.integers(0, 5))
def test_plain_data_comes_back_as_pickle_gives_it(value, protocol):
    assert load(pickle.dumps(value, protocol)) == value


@given(plain(SCALARS | st.binary()), st.integers(3, 5))
def test_bytes_too_where_a_protocol_has_them(value, protocol):
    assert load(pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=300))
@settings(max_examples=1000)
def test_arbitrary_bytes_are_read_or_refused(data):
    with contextlib.suppress(NotPlainError):
        load(data)


@given(plain(SCALARS), st.integers(0, 5), st.data())
@settings(max_examples=500)
def test_damaged_pickles_are_read_or_refused(value, protocol, data):
    raw = bytearray(pickle.dumps(value, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NotPlainError):
        load(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/commcheck-was-here",)


class Built:
    def __init__(self):
        self.a = 1


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        Evil(),
        [1, Evil()],
        {"entries": Evil()},
        Built(),
        os.system,
        collections.OrderedDict(a=1),
        {1, 2},
        1j,
        bytearray(b"x"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_is_not_plain_is_refused(value, protocol):
    with pytest.raises(NotPlainError, match="only plain data is read"):
        load(pickle.dumps(value, protocol))
    assert not os.path.exists("/tmp/commcheck-was-here")


@pytest.mark.parametrize(
    "raw",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02Ppersistent\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02\x82\x01.",
    ],
)
def test_hand_made_calls_are_refused(raw):
    with pytest.raises(NotPlainError):
        load(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b".",
        b"(.",
        b"]N.",
        b"\x80\x09N.",
        b"X\xff\xff\xff\xffabc.",
        b"\x8d" + struct.pack("<Q", 2**63) + b".",
        b"I" + b"9" * 100_000 + b"\n.",
        b"]q\x00h\x00a.",  # a list that holds itself
        b"}q\x00K\x01h\x00s.",
        b"]" * 200 + b"a" * 199 + b".",
        b"(lp0\n" + b"".join(b"(g%d\ng%d\nlp%d\n" % (i, i, i + 1) for i in range(40)) + b".",  # 2**40 by sharing
        b"})K\x01s.",  # a tuple as a key
        b"}\x8a\x10" + b"\x7f" * 16 + b"K\x01s.",
    ],
)
def test_what_is_broken_or_boundless_is_refused(raw):
    with pytest.raises(NotPlainError):
        load(raw)
