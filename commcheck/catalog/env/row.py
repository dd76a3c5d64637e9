"""The shape of one row of the catalogue of environment variables."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a value of a variable is; what lint checks and a generator draws follows from it."""

    FLAG = "flag"
    INTEGER = "integer"
    ENUM = "enum"
    INTERFACES = "interface-list"
    HOST = "host"
    PORT = "port"
    PATH = "path"
    TEXT = "text"
    SECONDS = "seconds"


class ReadAt(StrEnum):
    """When the owner reads a variable for the last time: later changes in the same process have no effect."""

    IMPORT = "import"
    INIT = "init"
    COLLECTIVE = "collective"
    UNKNOWN = "unknown"


class EnvVar(NamedTuple):
    """One variable. `default` is what holds when it is not set ("" where that is nothing or computed).

    `low` and `high` bound integers and seconds, both ends included. `choices` are the words of an enum, in the
    owner's spelling. `strict`: the owner refuses a bad value with an error; otherwise a bad value is ignored or
    read as another. `read_at` is `IMPORT` until a later time is proven, by a measurement or the owner's source.
    `until` is the last version that reads the name, `instead` the name that replaced it."""

    name: str
    kind: Kind
    default: str
    meaning: str
    owner: str
    source: str
    read_at: ReadAt = ReadAt.IMPORT
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    strict: bool = False
    several: bool = False
    """An enum whose value is a list of words, separated by commas, perhaps with a leading ^."""
    since: str = ""
    until: str = ""
    instead: str = ""
    secret: bool = False


class Owner(NamedTuple):
    """Whose variables a table holds, and where that was read; makes the table's rows."""

    name: str
    source: str

    def row(
        self,
        name: str,
        kind: Kind,
        default: str,
        meaning: str,
        read_at: ReadAt = ReadAt.IMPORT,
        *,
        low: int | None = None,
        high: int | None = None,
        choices: tuple[str, ...] = (),
        strict: bool = False,
        several: bool = False,
        since: str = "",
        until: str = "",
        instead: str = "",
        secret: bool = False,
    ) -> EnvVar:
        """One row of this owner; the arguments are `EnvVar`'s."""
        return EnvVar(
            name, kind, default, meaning, self.name, self.source, read_at, low, high,
            choices, strict, several, since, until, instead, secret,
        )  # fmt: skip
