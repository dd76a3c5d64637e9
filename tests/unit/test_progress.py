"""Progress: plain lines in a log, one line on a terminal, nothing when quiet, and never a failure."""

import io
import os
import pty

from commcheck.cli.progress import Progress


def test_plain_lines_in_a_log() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream)
    for text in ("starting", "starting", "verify"):
        progress.say(text)
    progress.done()
    lines = stream.getvalue().splitlines()
    assert [line.split(" s  ")[1] for line in lines] == ["starting", "verify"]
    assert all(line.startswith("commcheck: ") for line in lines)
    assert "\x1b" not in stream.getvalue()


def test_nothing_when_quiet() -> None:
    stream = io.StringIO()
    progress = Progress(quiet=True, stream=stream)
    progress.say("starting")
    progress.done()
    assert stream.getvalue() == ""


def test_one_line_on_a_terminal(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        progress = Progress(stream=stream)
        progress.say("starting")
        progress.say("x" * 500)
        progress.done()
        written = ""
        while not written.endswith("\r\x1b[K") or len(written) < 80:  # a terminal hands on what it has in pieces
            written += os.read(master, 4096).decode()
    os.close(master)
    assert "\n" not in written
    assert written.endswith("\r\x1b[K")
    assert max(map(len, written.split("\r\x1b[K"))) < 200


def test_a_stream_that_has_gone_away() -> None:
    stream = io.StringIO()
    stream.close()
    progress = Progress(quiet=True, stream=stream)
    progress.say("nobody reads this")

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress = Progress(stream=Gone())
    progress.say("nobody reads this")
    progress.say("nor this")
