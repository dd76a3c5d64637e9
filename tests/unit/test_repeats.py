"""A recorder's pickle is read by copying dicts whose code was carried out before: what comes out is what every opcode makes."""

import importlib.util
import pickle
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commcheck.diagnose.ingest import flight_recorder
from commcheck.diagnose.ingest.plain_pickle import NotPlainError, load

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _benchmark():
    found = importlib.util.spec_from_file_location("dumps", BENCHMARKS / "dumps.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


DUMPS = _benchmark()
NUMBERS = st.integers(0, 300) | st.integers(-(2**63), 2**63 - 1) | st.floats()
TEXTS = st.sampled_from(["a", "b", "started", "default_pg", "u", "}(", ""])
FIXED = (
    st.none()
    | st.booleans()
    | TEXTS
    | st.tuples(TEXTS, TEXTS)
    | st.lists(st.lists(st.integers(0, 70_000), max_size=3) | TEXTS, max_size=3)
)


@st.composite
def dumps(draw):
    """Dicts of which many are alike, as c10 writes them."""
    keys = draw(st.lists(st.text(max_size=3), min_size=1, max_size=5, unique=True))
    kinds = draw(st.lists(st.fixed_dictionaries({key: FIXED | st.just(...) for key in keys}), min_size=1, max_size=4))
    rows = [
        {
            key: draw(NUMBERS) if part is ... else part
            for key, part in kinds[draw(st.integers(0, len(kinds) - 1))].items()
        }
        for _ in range(draw(st.integers(1, 12)))
    ]
    pickler = DUMPS.Pickler()
    pickler.write({"first": {}, "entries": rows, "again": rows[::-1]})
    return bytes(pickler.out) + b"."


def outcome(data, **how):
    """The value, shown (a number that is none is not equal to itself), or that it was refused."""
    try:
        return repr(load(data, **how))
    except NotPlainError:
        return None


@settings(max_examples=80)
@given(dumps())
def test_what_is_copied_is_what_every_opcode_makes(data):
    assert outcome(data) == outcome(data, copying=False) == repr(pickle.loads(data))


@settings(max_examples=200)
@given(dumps(), st.data())
def test_damaged_ones_are_read_or_refused_alike(data, more):
    raw = bytearray(data)
    for _ in range(more.draw(st.integers(1, 4))):
        at = more.draw(st.integers(0, len(raw) - 1))
        raw[at] = more.draw(st.integers(0, 255) | st.sampled_from(b"}(u])ehqKMJN.sa\x86\x8a\x88"))
    cut = bytes(raw[: more.draw(st.just(len(raw)) | st.integers(0, len(raw)))])
    assert outcome(cut) == outcome(cut, copying=False)


ROWS = [
    b"}(h\x00K\x01u",
    b"}(h\x00K\x02h\x01Nu",
    b"}(h\x00h\x00h\x01\x86u",
    b"}(h\x00](](K\x01eeu",
    b"}(h\x00K\x01h\x00K\x02u",
    b"}(u",
]
BITS = [
    b"(",
    b"e",
    b"u",
    b"a",
    b"0",
    b"2",
    b"]",
    b"}",
    b"q\x00",
    b"q\x01",
    b"h\x00",
    b"h\x01",
    b"K\x07",
    b"s",
    b"N",
    b"l",
    b"\x86",
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(ROWS * 3 + BITS), max_size=30))
def test_dicts_that_are_changed_or_thrown_away_or_whose_keys_are_replaced(parts):
    """Codes that no pickler writes: more is put into a copy, and what a key refers to becomes something else."""
    data = b"\x80\x02X\x01\x00\x00\x00aq\x00X\x01\x00\x00\x00bq\x01](" + b"".join(parts) + b"l."
    assert outcome(data) == outcome(data, copying=False)


def test_entries_alike_become_calls_without_a_dict_for_each():
    data = DUMPS.dump(3, 8, 200, late=False)
    found = flight_recorder.parse("rank_3", data)
    entries = load(data, copying=False)["entries"]
    *calls, last = [flight_recorder.call_of(e) for e in entries]
    assert found.calls[:-1] == tuple(calls)
    assert replace(found.calls[-1], frames=()) == last
    assert found.calls[-1].frames[0] == "all_reduce (/opt/train/all_reduce.py:107)"
    assert found.whole == "0"
    assert found.forgotten
    made = load(data, alike=flight_recorder._Made())["entries"]
    assert sum(isinstance(e, flight_recorder.Call) for e in made) > 150


@pytest.mark.parametrize(
    "data",
    [
        b"}(" * 400_000,
        b"}(" + b"h\x00N" * 300_000,
        (b"}(" + b"h\x00N" * 60 + b"(") * 5_000,
        b"]("
        + b"".join(
            b"}(h\x00](" + struct.pack("<H", n).replace(b"\x00", b"\x01").join((b"h", b"N")) + b"eu"
            for n in range(30_000)
        ),
        b"](" + b"}(h\x00K\x01u}(h\x00Nu}(h\x01K\x01u" * 60_000,
        b"}(h\x00](" + b"](" * 200_000,
    ],
    ids=["begun", "long", "almost", "unlike", "in turn", "nested"],
)
def test_nothing_takes_more_than_linear_time(data):
    head = b"\x80\x02X\x01\x00\x00\x00aq\x00X\x01\x00\x00\x00bq\x01"
    begin = time.process_time()
    outcome(head + data + b"e.")
    assert time.process_time() - begin < 15
