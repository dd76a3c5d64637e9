"""Reports as lines of text: what launchers do to lines, and what is cut off."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commcheck.runtime.records import LONGEST, PREFIX, Collector, Message, encode

TAGS = ("", "[1,3]<stdout>:", "3: ", "rank3: ", "[rank3]:", "[default0]:", "\x1b[36m", "(Rank pid=17, ip=10.0.0.1) ",
        "[pod/commcheck-0-x7/rank] ", "[3] ", "2026-11-22T01:02:03.004Z ", "\x1b[1m[1,3]<stderr>:\x1b[0m")  # fmt: skip
WITHIN = (b"[1,3]<stdout>:", b"\n[1,3]<stdout>:", b"\n3: ", b"\r\n", b"\x1b[0m", b"\n[rank3]:")

messages = st.builds(
    Message,
    kind=st.sampled_from(["report", "link-matrix"]),
    run=st.sampled_from(["4711.0", "-"]),
    rank=st.integers(0, 9999).map(str),
    stream=st.integers(0, 10**9).map(lambda n: f"{n:x}.1"),
    # Chance does not pack: the messages have up to ten lines.
    data=st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 99), st.integers(0, 2400)),
)
many = st.lists(messages, min_size=1, max_size=5, unique_by=lambda m: (m.kind, m.run, m.rank, m.stream))


def collected(text, sizes=()):
    """What is found in a text that comes in blocks of these sizes, and the text that is left."""
    collector, left, at = Collector(), [], 0
    for size in sizes:
        left.append(collector.feed(text[at : at + size]))
        at += size
    left += [collector.feed(text[at:]), collector.finish()]
    return collector, b"".join(left)


@given(messages)
def test_lines_are_short_and_printable(message):
    for line in encode(message):
        assert len(line) <= LONGEST
        assert line.endswith(b"\n")
        assert line[:-1].decode("ascii").isprintable()


@given(many, st.data())
def test_any_order_any_tags_any_blocks(said, data):
    tag = data.draw(st.sampled_from(TAGS)).encode()
    lines = data.draw(st.permutations([line for m in said for line in encode(m)]))
    noise = data.draw(st.lists(st.sampled_from([b"", b"step 3 loss 0.1\n", b"@comm\n", b"[1,2]<stderr>:x\n"])))
    text = b"".join(n + tag + line for line, n in zip(lines, [*noise, *[b""] * len(lines)], strict=False))
    collector, left = collected(text, data.draw(st.lists(st.integers(0, 700), max_size=30)))
    assert set(collector.messages()) == set(said)
    assert collector.torn() == ()
    assert left.count(b"\n") == text.count(b"\n")
    assert PREFIX not in left


@given(messages, st.data())
def test_a_launcher_s_tags_within_a_line_are_taken_out(message, data):
    lines = []
    for line in encode(message):
        at = data.draw(st.integers(len(PREFIX), len(line) - 2))
        lines.append(line[:at] + data.draw(st.sampled_from(WITHIN)) + line[at:])
    collector, _ = collected(b"".join(lines), data.draw(st.lists(st.integers(0, 300), max_size=9)))
    assert collector.messages() == (message,)


@given(many, st.data())
def test_what_is_torn_is_never_taken_for_whole(said, data):
    """Bytes are cut out or changed anywhere: every message comes back as it was, or not at all."""
    text = b"".join(line for m in said for line in encode(m))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.binary(max_size=40)) + text[at + data.draw(st.integers(0, 500)) :]
    collector, _ = collected(text)
    assert set(collector.messages()) <= set(said)


@given(many, st.data())
def test_one_tear_spoils_nothing(said, data):
    text = b"".join(line for m in said for line in encode(m, twice=data.draw(st.booleans())))
    at = data.draw(st.integers(0, len(text) - 1))
    between = data.draw(st.sampled_from([b"\n", b"[1,2]<stdout>:", b"@commcheck1;another;line;\n", b"loss 0.1 "]))
    # Less than a line, and not so that it is the ends of two that are gone.
    gone = data.draw(st.integers(0, max(0, text.index(b"\n", at) - at - 1)))
    collector, _ = collected(text[:at] + between + text[at + gone :])
    assert set(collector.messages()) == set(said)


@given(messages.filter(lambda m: len(m.data) > 600), st.data())
def test_an_end_that_is_missing_is_said(message, data):
    lines = encode(message)
    kept = data.draw(st.integers(1, len(lines) - 3))
    collector, _ = collected(b"".join(lines[:kept]) + lines[kept][:50])
    (torn,) = collector.torn()
    assert collector.messages() == ()
    assert (torn.kind, torn.run, torn.rank, torn.stream) == (message.kind, message.run, message.rank, message.stream)
    assert 0 < torn.have < torn.total <= len(lines)


@given(
    st.lists(st.one_of(st.binary(max_size=300), st.just(PREFIX), st.just(b"@commcheck"), st.just(b"\n")), max_size=9)
)
def test_other_text_comes_through_as_it_was(parts):
    text = b"".join(parts)
    collector, left = collected(text, [7] * 40)
    if PREFIX not in text:
        assert left == text
    assert not collector.found
    assert left.count(b"\n") == text.count(b"\n")


@pytest.mark.parametrize("rank", ["a b;c", "", "x" * 99, "\u00e9"])
def test_any_rank_is_made_a_field(rank):
    (line, *_) = encode(Message(kind="report", run="", rank=rank, stream="s", data=b"x"))
    collector, _ = collected(line)
    assert collector.messages()[0].data == b"x"


def test_a_bomb_is_not_unpacked():
    bomb = Message(kind="report", run="-", rank="0", stream="s", data=bytes(1 << 27))
    collector, _ = collected(b"".join(encode(bomb)))
    assert collector.messages() == ()
    assert collector.torn()


def test_cuts_at_regular_distances_spoil_nothing():
    """mpirun reads 4,096 bytes from each rank's terminal, and another rank's output comes between."""
    said = [
        Message(kind="report", run="-", rank=str(n), stream="s", data=random.Random(n).randbytes(size))
        for n, size in enumerate(range(1500, 9000, 100))
    ]
    for message in said:
        text = b"".join(encode(message))
        first = int(message.rank) * 50
        parts = [text[:first], *(text[at : at + 4096] for at in range(first, len(text), 4096))]
        collector, _ = collected(b"@commcheck1;another;line;\n".join(parts))
        assert collector.messages() == (message,)
