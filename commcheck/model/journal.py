"""The lines by which a rank reports: one JSON object each, on a pipe of its own.

A blocked rank cannot speak, but the last phase that it began has already been read.
"""

import msgspec

from commcheck.model.base import Value
from commcheck.model.case import Collective, PairMeasure, Probe, Published, RankError, Socket, ValueCheck
from commcheck.model.phase import Phase


class Event(Value, frozen=True, tag_field="event"):
    """Base of all journal lines. `at`: CLOCK_MONOTONIC seconds, comparable between processes of one host."""

    at: float


class Began(Event, frozen=True, tag="began"):
    """A phase begins."""

    phase: Phase


class Finished(Event, frozen=True, tag="finished"):
    """A phase is done."""

    phase: Phase
    note: str = ""


class Failed(Event, frozen=True, tag="failed"):
    """An exception ended the rank."""

    error: RankError


class Claimed(Event, frozen=True, tag="claimed"):
    """What the rank takes itself to be, and what its torch offers."""

    rank: int | None
    world_size: int | None
    versions: dict[str, str]
    backends: tuple[str, ...]


class Probed(Event, frozen=True, tag="probed"):
    """The result of one probe."""

    probe: Probe


class Told(Event, frozen=True, tag="told"):
    """An address that a rank (this one, or another as this one read it) asks others to connect to."""

    published: Published


class Issued(Event, frozen=True, tag="issued"):
    """A collective is about to be called."""

    collective: Collective


class Returned(Event, frozen=True, tag="returned"):
    """The collective with this index has returned."""

    index: int


class Checked(Event, frozen=True, tag="checked"):
    """A result was compared with its reference."""

    check: ValueCheck


class Saw(Event, frozen=True, tag="saw"):
    """The rank's own rows of the kernel's socket table, once the group stands."""

    sockets: tuple[Socket, ...]


class Met(Event, frozen=True, tag="met"):
    """Rank and pid of every member, as an all-gather over the group returned them."""

    members: tuple[tuple[int, int], ...]


class Waits(Event, frozen=True, tag="waits"):
    """The ranks that have not come to the store yet, after a while of waiting; empty when all are there."""

    ranks: tuple[int, ...]


class Tries(Event, frozen=True, tag="tries"):
    """The ranks of other hosts that this one sets out to connect to; a `Probed` follows for each."""

    ranks: tuple[int, ...]


class Carriers(Event, frozen=True, tag="carriers"):
    """How often the carrier of each interface has come or gone, at the end of the work."""

    changes: dict[str, int]


class Measured(Event, frozen=True, tag="measured"):
    """Latency and bandwidth to one peer."""

    pair: PairMeasure


class Noted(Event, frozen=True, tag="noted"):
    """What a workload's own program has to say to whoever started the world; no evidence."""

    kind: str
    text: str


AnyEvent = (
    Began
    | Finished
    | Failed
    | Claimed
    | Probed
    | Tries
    | Told
    | Issued
    | Returned
    | Checked
    | Saw
    | Met
    | Measured
    | Waits
    | Carriers
    | Noted
)

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """One journal line with its newline."""
    return msgspec.json.encode(event) + b"\n"


def decode(line: bytes) -> AnyEvent | None:
    """The event of a line; None for a line that is torn or foreign (a rank may be killed while it writes)."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
