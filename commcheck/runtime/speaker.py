"""A rank's reports as records on standard output: for whoever collects what a launcher passes on, where the ranks share no
directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
import sys
import termios
import time

import msgspec

from commcheck.errors import InputError
from commcheck.model.case import Case
from commcheck.model.rankreport import RANK_SCHEMA, RankReport
from commcheck.runtime.records import Message, encode
from commcheck.runtime.reports import encoded, report_of

KIND = "rank"
TAKEN = 0.05
"""Seconds that a batch of lines waits for the reader of a pipe to take the last one: a launcher that is awake needs far less,
and one that sleeps is not waited for."""
_LOOK = 0.0005
_MOMENT = 0.002
_BATCH = 4096
"""Bytes that are written at once: what POSIX's pipes take in one piece here, and mpirun reads in one."""


class Speaker:
    """Says what one rank knows, as often as there is something new; the last word counts."""

    def __init__(self, rank: str, run: str, descriptor: int | None = None) -> None:
        self.begun = time.time()
        self.failed = ""
        self._rank, self._run = rank, run
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._process, self._count = secrets.token_hex(4), 0

    def write(self, case: Case, *, done: bool) -> None:
        """Say it. A reader that has gone away is said in `failed`, not raised: the verdict must not be lost for it."""
        data = encoded(report_of(case, self.begun, done=done))
        self._count += 1
        stream = f"{self._process}.{self._count}"
        message = Message(kind=KIND, run=self._run, rank=self._rank, stream=stream, data=data)
        try:
            sys.stdout.flush()
            put(encode(message, twice=done), self._descriptor)
        except (OSError, ValueError) as error:
            self.failed = f"--report-to stdout: not written: {getattr(error, 'strerror', None) or error}"


def put(lines: tuple[bytes, ...], descriptor: int) -> None:
    """Write lines so that a launcher that reads what there is, wherever that ends, reads whole lines: in batches, each when
    the reader has taken the one before."""
    terminal = os.isatty(descriptor)
    batch: list[bytes] = []
    for line in (*lines, b""):
        if batch and (not line or terminal or sum(map(len, batch)) + len(line) > _BATCH):
            _write(descriptor, b"".join(batch))
            _wait(descriptor, terminal=terminal)
            batch = []
        batch.append(line)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _wait(descriptor: int, *, terminal: bool) -> None:
    """Until a pipe is empty. The kernel tells a writer of room, and not of emptiness: it is looked at. Of the pseudo-terminal
    that mpirun gives its ranks it does not even show that, so there it gets a moment."""
    if terminal:
        time.sleep(_MOMENT)
        return
    deadline = time.monotonic() + TAKEN
    with contextlib.suppress(OSError):  # no pipe: nothing to wait for
        while struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0]:
            if time.monotonic() > deadline:
                return
            time.sleep(_LOOK)


def heard(message: Message) -> RankReport:
    """The report that a message holds. Raises InputError."""
    try:
        head = msgspec.json.decode(message.data)
        schema = head.get("schema") if isinstance(head, dict) else None
        if schema == RANK_SCHEMA:
            return msgspec.convert(head, RankReport)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"the record of rank {message.rank} is no rank's report: {error}") from error
    advice = "read it with the commcheck that wrote it"
    raise InputError(
        f"the record of rank {message.rank} has the schema {schema!r}, this commcheck reads {RANK_SCHEMA!r}; {advice}"
    )
