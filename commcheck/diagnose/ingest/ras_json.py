"""What RAS says as JSON (NCCL 2.28.7 and later: `ncclras -f json`), in the same form as its text; events of its monitor mode.

Source: src/ras/client_support.cc, rasDumpCommsToJSON and rasClientsNotifyEvent. Here every rank is told of, so that nothing
is left to be guessed; a process that is in no communicator is not.

What may not be here: I/O, or judgement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from commcheck.diagnose.ingest.ras_text import STATUS
from commcheck.errors import InputError
from commcheck.model.base import ranks_text, sentence
from commcheck.model.ras import Answer, Communicator, Failure, Group, Member, Process, Said, Split

_HEAD = 1 << 13
_SIGNS = (b'"nccl_version"', b'"communicators')
_EVENT = (b'"event"', b'"PEER_')
_SUCCESS, _GOES_ON = 0, 7
_ERRORS = {
    1: "Unhandled CUDA error", 2: "System error", 3: "Internal error", 4: "Invalid argument", 5: "Invalid usage",
    6: "Remote process error",
}  # fmt: skip
"""ncclResult_t, in the words of RAS's text."""


_ORDER = ("INIT", "RUNNING", "FINALIZE", "ABORT")


class _Status(msgspec.Struct):
    init_state: int = 0
    async_error: int = 0
    finalize_called: bool = False
    destroy_flag: bool = False
    abort_flag: bool = False
    unresponsive: bool = False
    considered_dead: bool = False

    @property
    def word(self) -> str:
        """As in the text: rasClientRunComms."""
        if self.abort_flag:
            return "ABORT"
        if self.finalize_called or self.destroy_flag:
            return "FINALIZE"
        return "RUNNING" if self.init_state == _SUCCESS else "INIT"

    @property
    def error(self) -> str:
        found = next((e for e in (self.init_state, self.async_error) if e not in (_SUCCESS, _GOES_ON)), None)
        return "" if found is None else _ERRORS.get(found, "Unexpected error")


class _Rank(msgspec.Struct):
    rank: int
    host: str = ""
    pid: int = -1
    status: _Status = msgspec.field(default_factory=_Status)
    collective_counts: dict[str, int] = {}

    @property
    def member(self) -> Member:
        return Member(rank=self.rank, process=Process(pid=self.pid, host=self.host) if self.pid > 0 else None)


class _Communicator(msgspec.Struct):
    hash: str = ""
    size: int = 0
    ranks: list[_Rank] = []
    missing_ranks: list[_Rank] = []


class _Peer(msgspec.Struct):
    host: str = ""
    pid: int = 0


class _Ras(msgspec.Struct):
    timeouts_count: int = 0


class _Document(msgspec.Struct):
    nccl_version: str = ""
    timestamp: str = ""
    communicators: list[_Communicator] = []
    ras: _Ras = msgspec.field(default_factory=_Ras)
    event: str = ""
    peer: _Peer | None = None


def is_answer(data: bytes) -> bool:
    """Whether a file's bytes look like such an answer, or like the events of `ncclras -m -f json`."""
    head = data[:_HEAD].lstrip()
    return head.startswith(b"{") and (all(s in head for s in _SIGNS) or all(s in head for s in _EVENT))


def parse(name: str, data: bytes) -> tuple[Answer, ...]:
    """The answers and events of one file, which may hold several behind each other.

    Raises InputError, naming the file, for what is cut off or something else."""
    try:
        return tuple(_answer(name, document) for document in _documents(data))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{name}: begins like the JSON of ncclras, and is none to its end ({error}): save it again, whole"
        ) from error


def _documents(data: bytes) -> Iterator[_Document]:
    import json

    text = data.decode()
    decoder = json.JSONDecoder()
    at = len(text) - len(text.lstrip())
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        yield msgspec.convert(value, type=_Document)
        at = end + len(text[end:]) - len(text[end:].lstrip())


def _answer(name: str, document: _Document) -> Answer:
    seconds = _seconds(document.timestamp)
    if document.event:
        gone = document.event == "PEER_DEAD"
        peer = document.peer or _Peer()
        return Answer(
            source=name,
            seconds=seconds,
            dead=(Process(pid=peer.pid, host=peer.host),) if gone and peer.pid else (),
            dead_count=int(gone),
            said=(Said(text=f"{document.event}: process {peer.pid} on node {peer.host}"),) if gone else (),
        )
    lost = [r for c in document.communicators for r in c.missing_ranks if r.pid > 0]
    dead = dict.fromkeys(Process(pid=r.pid, host=r.host) for r in lost if r.status.considered_dead)
    silent = dict.fromkeys(
        Process(pid=r.pid, host=r.host) for r in lost if r.status.unresponsive and not r.status.considered_dead
    )
    there = dict.fromkeys(
        Process(pid=r.pid, host=r.host)
        for c in document.communicators
        for r in (*c.ranks, *c.missing_ranks)
        if r.pid > 0
    )
    return Answer(
        source=name,
        version=document.nccl_version.partition("+")[0],
        seconds=seconds,
        dead=tuple(dead),
        dead_count=len(dead),
        silent=tuple(silent),
        silent_count=len(silent),
        timeouts=document.ras.timeouts_count,
        whole=_whole(document.communicators),
        communicators=tuple(map(_communicator, document.communicators)),
        members=tuple(there),
        said=tuple(
            Said(text=f"process {p.pid} on node {p.host} {what}")
            for group, what in ((dead, "is considered dead"), (silent, "does not respond to RAS"))
            for p in group
        ),
    )


def _whole(communicators: list[_Communicator]) -> int:
    """The size of the largest ones, where they are all of the same processes, and no other process is there."""
    largest = max((c.size for c in communicators), default=0)
    spanned = {(r.host, r.pid) for c in communicators if c.size == largest for r in (*c.ranks, *c.missing_ranks)}
    everybody = {(r.host, r.pid) for c in communicators for r in (*c.ranks, *c.missing_ranks)}
    return largest if len(everybody) == len(spanned) <= largest else 0


def _communicator(one: _Communicator) -> Communicator:
    name = f"communicator {one.hash}"
    silent = tuple(r.member for r in one.missing_ranks if r.status.unresponsive)
    left = tuple(r.member for r in one.missing_ranks if not r.status.unresponsive)
    words = Counter(r.status.word for r in one.ranks)
    return Communicator(
        name=name,
        identity=one.hash.removeprefix("0x").zfill(16),
        size=one.size,
        status=max(words, key=_ORDER.index, default=""),
        silent=silent,
        silent_count=len(silent),
        failures=_failures(name, one.ranks),
        splits=(*_of_status(name, one.ranks, left), *_of_counts(name, one.ranks)),
        said=(Said(text=f"{name}: no data from {ranks_text(m.rank for m in silent)}"),) if silent else (),
        members=tuple(r.member for r in (*one.ranks, *one.missing_ranks)),
        issued=sum(n for r in one.ranks for n in r.collective_counts.values()),
    )


def _failures(name: str, ranks: list[_Rank]) -> tuple[Failure, ...]:
    by_error: dict[str, list[_Rank]] = {}
    for r in ranks:
        if r.status.error:
            by_error.setdefault(r.status.error, []).append(r)
    return tuple(
        Failure(
            error=error,
            count=len(found),
            said=Said(text=f"{name}: {ranks_text(r.rank for r in found)} reported {error}"),
            members=tuple(r.member for r in found),
        )
        for error, found in by_error.items()
    )


def _of_status(name: str, ranks: list[_Rank], left: tuple[Member, ...]) -> tuple[Split, ...]:
    by_word: dict[str, list[Member]] = {}
    for r in ranks:
        by_word.setdefault(r.status.word, []).append(r.member)
    if left:
        by_word["NOCOMM"] = list(left)
    return _split(name, STATUS, by_word, "has status {value}")


def _of_counts(name: str, ranks: list[_Rank]) -> tuple[Split, ...]:
    found: list[Split] = []
    for op in dict.fromkeys(op for r in ranks for op in r.collective_counts):
        by_count: dict[str, list[Member]] = {}
        for r in ranks:
            by_count.setdefault(str(r.collective_counts.get(op, 0)), []).append(r.member)
        found += _split(name, op, by_count, f"has launched up to {op} {{value}}")
    return tuple(found)


def _split(name: str, what: str, by_value: dict[str, list[Member]], words: str) -> tuple[Split, ...]:
    if len(by_value) < 2:
        return ()
    groups = sorted(by_value.items(), key=lambda pair: -len(pair[1]))
    text = "; ".join(sentence((m.rank for m in members), words.format(value=value)) for value, members in groups[:4])
    return (
        Split(
            what=what,
            groups=tuple(Group(value=value, count=len(m), members=tuple(m)) for value, m in groups),
            said=Said(text=f"{name}: {text}"),
        ),
    )


def _seconds(timestamp: str) -> float | None:
    """Of two answers only the time between them is asked for."""
    try:
        return datetime.strptime(timestamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
