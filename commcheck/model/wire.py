"""What the launcher and the process that ranks are forked from say to each other."""

import msgspec

from commcheck.model.base import Value
from commcheck.model.plan import RankPlan


class Assignment(Value, frozen=True):
    """Become this rank. The file descriptors come beside it: stdout, stderr, journal, stack."""

    rank: RankPlan
    workload: str
    given: bytes = b""


class Ready(Value, frozen=True, tag="ready"):
    """torch is imported; ranks can be forked. `threads` of the forking process must be 1."""

    seconds: float
    torch: str
    threads: int
    unsafe: str = ""  # why it must not be forked from, if so


class Forked(Value, frozen=True, tag="forked"):
    """A rank has been forked."""

    slot: int
    pid: int


class Refused(Value, frozen=True, tag="refused"):
    """It was not safe to fork, or it failed: the rank has to be started cold."""

    slot: int
    why: str


class Reaped(Value, frozen=True, tag="reaped"):
    """A forked rank has ended, with this wait status."""

    pid: int
    status: int


class Broken(Value, frozen=True, tag="broken"):
    """Ranks cannot be forked from it: torch could not be imported, or the workload's own program not be started."""

    what: str
    why: str


Message = Ready | Forked | Refused | Reaped | Broken

_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_assignments = msgspec.json.Decoder(Assignment)


def encode(message: Value) -> bytes:
    """A message as one datagram, or an assignment as the content of a file."""
    return msgspec.json.encode(message)


def message(data: bytes) -> Message:
    """Decode what the forking process says. Raises msgspec.ValidationError."""
    return _messages.decode(data)


def assignment(data: bytes) -> Assignment:
    """Decode an assignment. Raises msgspec.ValidationError."""
    return _assignments.decode(data)
