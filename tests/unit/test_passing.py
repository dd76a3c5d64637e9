import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commcheck.runtime import passing


def passed(data: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """What comes out of a stream at the other end, and what it has kept."""
    (feed_read, feed), (out, out_write) = os.pipe(), os.pipe()
    stream = passing.Stream("stdout", feed_read, out_write)
    stream.thread.start()
    got = bytearray()

    def collect():
        while chunk := os.read(out, 1 << 16):
            got.extend(chunk)

    reader = threading.Thread(target=collect)
    reader.start()
    view = memoryview(data)
    while view:
        view = view[os.write(feed, view) :]
    os.close(feed)
    stream.thread.join(20)
    os.close(out_write)
    reader.join(20)
    os.close(out)
    return bytes(got), stream.sources()


@pytest.fixture(autouse=True, scope="module")
def small():
    """A ring of a few lines, so that short texts go around it."""
    kept = passing.CHUNK, passing.HEAD, passing.TAIL
    passing.CHUNK, passing.HEAD, passing.TAIL = 64, 32, 1024
    yield
    passing.CHUNK, passing.HEAD, passing.TAIL = kept


@given(st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"\n", b" ") + b"\n"), max_size=80))
@settings(max_examples=60, deadline=None)
def test_everything_passes_and_the_ends_are_kept(lines):
    data = b"".join(lines)
    got, kept = passed(data)
    assert got == data
    if not data:
        assert kept == []
    elif len(kept) == 1:
        assert kept[0][1] == data
    else:
        (_, head), (_, tail) = kept
        assert data.startswith(head)
        assert len(head) == passing.HEAD
        assert data.endswith(tail)
        assert len(tail) >= passing.TAIL - 2 * passing.CHUNK - 64
