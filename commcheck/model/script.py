"""The calls that the ranks of a world have to issue, each in its own order: what a recording is played from. Pure data."""

import msgspec

from commcheck.model.base import Value


class Play(Value, frozen=True):
    """One call. `label`, `seq`: its group's name in the recording, and its number there. `group`: the place of that group in the
    script; -1 is the whole world. `size`: elements that this rank brings as its part. `elements`: what was recorded of that,
    as the ranks must agree in it; 0 where they need not. `peer`: the other rank, or the root, as a number of the world."""

    op: str
    dtype: str
    label: str
    seq: int
    group: int
    size: int
    elements: int
    peer: int = -1


class Part(Value, frozen=True):
    """What one rank does. `rank`: its number in the recording; `recorded`: it is known what it called."""

    rank: int
    calls: tuple[Play, ...] = ()
    recorded: bool = True


class Script(Value, frozen=True):
    """All ranks. `groups`: the members of each group besides the world, in the order in which all ranks make them.
    `notes`: what of the recording is not in it."""

    parts: tuple[Part, ...]
    groups: tuple[tuple[int, ...], ...] = ()
    notes: tuple[str, ...] = ()


_scripts = msgspec.json.Decoder(Script)


def encode(script: Script) -> bytes:
    """As `Plan.given` has it."""
    return msgspec.json.encode(script)


def decode(data: bytes) -> Script:
    """Decode a script. Raises msgspec.ValidationError."""
    return _scripts.decode(data)
